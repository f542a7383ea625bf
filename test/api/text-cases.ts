import type { Problem } from '../support/answers.ts'

/** What JavaScript's trim() removes (ECMAScript, WhiteSpace and LineTerminator). */
const whiteSpace = [
  ...'\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff',
  ...'\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a',
].join('')

const astral = '\u{1f600}'

/** Texts that may be stored as they are, between two letters that keep trim() away. */
const oddTexts = [
  'a\u0001\u0008\u001b\u001f\u007f\u0080\u0085\u009fb',
  'a\t\r\n\u2028\u2029 \u00a0\u3000b',
  'e\u0301 and \u00e9, \u212b and \u00c5',
  '\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627',
  '\u200b\u200d\u180e\u00ad\u2060',
  `\u{1f468}\u200d\u{1f469}\u200d\u{1f467} ${astral}\u{10ffff}\u{10fffe}`,
  'a\ufffe\uffff\ufdd0b',
  `'; drop table app.tasks; -- " \\ \\u0000 \\x00 $1 {} %s %_`,
  '<script>alert(1)</script>&amp;',
  'null',
  'x\\',
]

/** Titles that are accepted, as sent and as stored. */
export const goodTitles: readonly (readonly [sent: string, stored: string])[] = [
  ...oddTexts.map((text) => [text, text] as const),
  ['a', 'a'],
  ['a'.repeat(255), 'a'.repeat(255)],
  [astral.repeat(255), astral.repeat(255)],
  [`e\u0301${'\u0301'.repeat(253)}`, `e\u0301${'\u0301'.repeat(253)}`],
  [`${whiteSpace}x${whiteSpace}`, 'x'],
  [`${whiteSpace}${astral.repeat(255)}${whiteSpace}`, astral.repeat(255)],
  [`a${whiteSpace}b`, `a${whiteSpace}b`],
]

/** Titles that are refused, and the code of the problem. */
export const badTitles: readonly (readonly [sent: unknown, code: string])[] = [
  ['', 'minLength'],
  [whiteSpace, 'minLength'],
  ['a'.repeat(256), 'maxLength'],
  [astral.repeat(256), 'maxLength'],
  [`${'a'.repeat(128)}${whiteSpace}${'b'.repeat(128)}`, 'maxLength'],
  ['\0', 'pattern'],
  ['a\0b', 'pattern'],
  ['\ud800', 'pattern'],
  ['a\udfffb', 'pattern'],
  ['\udc00\ud800', 'pattern'],
  [`${astral}\ud83d`, 'pattern'],
  [null, 'type'],
  [7, 'type'],
  [true, 'type'],
  [['a'], 'type'],
  [{}, 'type'],
]

/** Descriptions that are accepted; they are stored as sent. */
export const goodDescriptions: readonly (string | null)[] = [
  ...oddTexts,
  null,
  '',
  whiteSpace,
  `${whiteSpace}x${whiteSpace}`,
  'a'.repeat(10_000),
  astral.repeat(10_000),
]

/** Descriptions that are refused, and the code of the problem. */
export const badDescriptions: readonly (readonly [sent: unknown, code: string])[] = [
  ['a'.repeat(10_001), 'maxLength'],
  [astral.repeat(10_001), 'maxLength'],
  ['a\0', 'pattern'],
  ['\ud800', 'pattern'],
  ['\udc00\ud800', 'pattern'],
  [0, 'type'],
  [false, 'type'],
  [['a'], 'type'],
  [{}, 'type'],
]

/** Fields of a body that no client may set, and how the details name each. */
export const foreignFields: readonly (readonly [field: string, path: string])[] = [
  ['user_id', '/user_id'],
  ['created_at', '/created_at'],
  ['updated_at', '/updated_at'],
  ['completed_at', '/completed_at'],
  ['version', '/version'],
  ['deleted_at', '/deleted_at'],
  ['Title', '/Title'],
  ['a/b~c', '/a~1b~0c'],
  ['constructor', '/constructor'],
  ['', '/'],
]

/** A body that has all of them, and the problems that it is refused with. */
export const foreignBody: Readonly<Record<string, unknown>> = Object.fromEntries(
  foreignFields.map(([field]) => [field, null]),
)
export const foreignProblems: readonly Problem[] = foreignFields.map(([, path]) => [
  path,
  'additionalProperties',
])

/** Ids that are no UUID. */
export const malformedIds = [
  'x',
  '7',
  '019ab3c45d6e7f809a1b2c3d4e5f6071',
  '{019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071}',
  'urn:uuid:019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
  '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f607',
  '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f60711',
  '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f607g',
  ' 019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
  '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071\n',
  '\uff1019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
]

/** User ids that a token can name and a path must carry in percent escapes. */
export function oddUserIds(unique: string): string[] {
  return [
    `${unique} with spaces `,
    `${unique}/slash/tasks`,
    `${unique}%2Fescape%zz%`,
    `${unique}?query=1&a=b#fragment;x`,
    `${unique}\\back|pipe<>"'\``,
    `${unique}+plus:@!$&'()*,=~`,
    `${unique} \u00e9 e\u0301 \u05e9\u05dc\u05d5\u05dd \u{1f600}`,
    `\u{1f600}`.repeat(255 - unique.length) + unique,
  ]
}
