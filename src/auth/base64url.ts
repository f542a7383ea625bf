/**
 * Decodes base64url (RFC 4648 §5) in its one canonical spelling: no padding, white space, other alphabet or stray last
 * bits.
 *
 * @returns undefined for any other text
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}
