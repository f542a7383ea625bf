/** RFC 7518 §3.2: a key for HS256 is at least as long as the hash, 256 bits. */
export const minSecretBytes = 32
const minDifferentCharacters = 8

/**
 * Values of 32 bytes and more that anybody can find in a library's source, a standard, documentation or a
 * tutorial; shorter ones are refused for their length. Only letters and digits are compared, without case.
 */
const wellKnownSecrets = [
  // Better Auth's own fallback.
  'better-auth-secret-12345678901234567890',
  // Supabase, self-hosted and its command line tool.
  'your-super-secret-jwt-token-with-at-least-32-characters-long',
  'super-secret-jwt-token-with-at-least-32-characters-long',
  // jwt.io's examples for HS256, HS384 and HS512.
  'a-string-secret-at-least-256-bits-long',
  'a-valid-string-secret-that-is-at-least-384-bits-long',
  'a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long',
  // FastAPI's documentation.
  '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7',
  // Spring tutorials.
  '404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970',
  '5367566B59703373367639792F423F4528482B4D6251655468576D5A71347437',
  // RFC 7515 appendix A.1 and RFC 7520 §3.5.
  'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
  'hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg',
  // iron-session and nuxt-auth-utils.
  'complex_password_at_least_32_characters_long',
  'password-with-at-least-32-characters',
  // Instructions and .env examples of projects with Better Auth or a JWT secret.
  'my_super_secure_hackathon_secret_key_2025',
  'my-super-secret-key-that-is-at-least-32-characters-long-12345',
  'super-secret-key-at-least-32-characters',
  'super-secret-key-at-least-32-characters-long',
  'super-long-secret-string-for-production',
  'dev-better-auth-secret-min-32-chars',
  'dev-secret-at-least-32-characters-long',
  'dev-secret-key-at-least-32-chars',
  'dev-secret-key-minimum-32-characters-long',
  'development-secret-key-min-32-chars',
  'development-secret-key-min-32-chars-long',
  'development-secret-key-minimum-32-characters-long',
  'development_secret_key_32_characters_minimum',
  'development-only-secret-min-32-characters',
  'default_development_secret_min_32_chars_long',
]

/** Words by which a value says of itself that it is to be replaced. Too long to turn up in a random value. */
const placeholderWords =
  /change(?:me|this|it|in|before)|replace(?:me|this|d?with)|bereplaced|placeholder|insecure|your(?:own|very|super|secret|secure|strong|random|long|jwt|auth|better|nextauth|production|generated|256|32|key)/

/** Neighbours on a keyboard; a space keeps the end of one row from the start of the next. */
const keyboardRows = '1234567890 qwertyuiop asdfghjkl zxcvbnm'
const keyboardRowsReversed = [...keyboardRows].reverse().join('')

function normalize(secret: string): string {
  return secret.toLowerCase().replace(/[^a-z0-9]/g, '')
}

const normalizedWellKnown: ReadonlySet<string> = new Set(wellKnownSecrets.map(normalize))

/** The length of the shortest piece that the value repeats from its start to its end (the last may be cut). */
function repeatedLength(secret: string): number {
  for (let length = 1; length <= secret.length / 2; length++) {
    if (secret.startsWith(secret.slice(length))) return length
  }
  return secret.length
}

/** Whether most neighbours are the same, follow each other (abc, 321) or lie side by side on a keyboard. */
function isSequence(secret: string): boolean {
  const lower = secret.toLowerCase()
  let steps = 0
  for (let index = 1; index < lower.length; index++) {
    const pair = lower.slice(index - 1, index + 1)
    const distance = Math.abs(pair.charCodeAt(1) - pair.charCodeAt(0))
    if (distance <= 1 || keyboardRows.includes(pair) || keyboardRowsReversed.includes(pair)) steps++
  }
  return steps >= (lower.length - 1) * 0.75
}

function findWeakness(secret: string): string | undefined {
  const bytes = Buffer.byteLength(secret)
  if (bytes < minSecretBytes) {
    return `The secret is ${bytes} bytes long, and at least ${minSecretBytes} are needed.`
  }
  const normalized = normalize(secret)
  if (normalizedWellKnown.has(normalized)) {
    return 'The secret is a well-known value from a library, a standard or a tutorial.'
  }
  if (placeholderWords.test(normalized)) {
    return 'The secret is a placeholder from an example, meant to be replaced.'
  }
  if (new Set(secret).size < minDifferentCharacters) {
    return `The secret has fewer than ${minDifferentCharacters} different characters.`
  }
  if (repeatedLength(secret) < Math.min(secret.length, minSecretBytes)) {
    return 'The secret repeats a shorter value.'
  }
  if (isSequence(secret)) {
    return 'The secret is a run of letters or digits in their order, or of neighbours on a keyboard.'
  }
  return undefined
}

/**
 * Says what makes a secret too weak to sign tokens with (RFC 7518 §3.2, RFC 8725 §3.5): shorter than 32 bytes
 * of UTF-8, fewer than 8 different characters, a well-known value, a placeholder, a repetition, a sequence.
 * It cannot tell a random value from one that a person made up.
 * @returns undefined when nothing speaks against it, else what is wrong and how to make a good one; the
 * secret itself is never in it.
 */
export function describeWeakSecret(secret: string): string | undefined {
  const weakness = findWeakness(secret)
  return weakness === undefined
    ? undefined
    : `${weakness} Make a good one with "openssl rand -base64 32", and give the same to the service that signs.`
}
