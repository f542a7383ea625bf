import { Type } from 'typebox'

/** 1 to 255 characters from 0x21 to 0x7E. Of a header that is sent twice Node makes one with a space in it. */
const keyForm = '^[!-~]{1,255}$'

const keyPattern = new RegExp(keyForm)

/** The header of an idempotent operation, to be combined with others: `{ ...IdempotencyHeaders.properties }`. */
export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: keyForm,
      'x-message': 'must be 1 to 255 visible ASCII characters, sent once',
      description:
        'Makes the request safe to repeat: for 24 hours the same request with the same key is answered with the first answer. 1 to 255 visible ASCII characters; a new UUID for each request is a good key.',
    }),
  ),
})

/** Whether a header's value can be a key. */
export function isKey(value: unknown): value is string {
  return typeof value === 'string' && keyPattern.test(value)
}
