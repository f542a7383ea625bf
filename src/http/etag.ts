/** A list of entity tags (RFC 9110 §8.8.3, §13.1), or `*`. Opaque tags hold no spaces here, as none of ours do. */
const entityTags =
  /^\s*(?:\*|(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?:\s*,\s*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")*)\s*$/

const strongVersion = /(?<!W\/)"([1-9]\d{0,15})"/g

/** Whether the value of If-Match or If-None-Match is well formed: quoted tags or `*`. */
export function isEntityTagList(value: string): boolean {
  return entityTags.test(value)
}

/** The strong ETag of a task at a version. */
export function formatEtag(version: number): string {
  return `"${version}"`
}

/**
 * The versions that If-Match names, for a strong comparison: weak tags and tags that are none of ours never match
 * (RFC 9110 §13.1.1).
 *
 * @param value a well-formed If-Match, or undefined without the header
 * @returns null when any version is allowed
 */
export function readIfMatch(value: string | undefined): number[] | null {
  if (value === undefined || value.trim() === '*') return null
  return Array.from(value.matchAll(strongVersion), ([, digits]) => Number(digits))
}

/** Whether If-None-Match names this ETag, by weak comparison (RFC 9110 §13.1.2). */
export function matchesIfNoneMatch(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  return value.trim() === '*' || value.split(',').some((each) => each.trim().replace(/^W\//, '') === etag)
}
