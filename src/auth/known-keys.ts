import { isJsonObject } from '../lib/strict-json.ts'
import { readJwk, type VerificationKey } from './jwk.ts'

/** More than an issuer that makes a key every hour and keeps it for two weeks has. */
const maxKeys = 500

/** A JWKS as a whole cannot be used. Its message is for the log and quotes nothing of the document. */
export class JwksError extends Error {}

/** The keys of one JWKS. Never changed: a new document makes a new one. */
export class KnownKeys {
  readonly #byKid: ReadonlyMap<string | undefined, readonly VerificationKey[]>
  readonly #all: readonly VerificationKey[]

  constructor(keys: readonly VerificationKey[]) {
    this.#all = keys
    this.#byKid = Map.groupBy(keys, ({ kid }) => kid)
  }

  get size(): number {
    return this.#all.length
  }

  /**
   * The one key that a token may be checked with. With a `kid` it is the key of that name, if the algorithm is its
   * own. Without one it is the only key that has the algorithm: with several, trying them all would multiply the work
   * that a forged token causes, and issuers with several keys name them.
   *
   * @param kid compared as it stands, and used for nothing else
   */
  find(alg: string, kid: string | undefined): VerificationKey | undefined {
    const named = kid === undefined ? this.#all : (this.#byKid.get(kid) ?? [])
    const fitting = named.filter(({ algorithms }) => algorithms.has(alg))
    return fitting.length === 1 ? fitting[0] : undefined
  }

  /** How many keys the other has that are not here. */
  countMissing(other: KnownKeys): number {
    return other.#all.filter((key) => this.#findSame(key) === undefined).length
  }

  /**
   * Reads a JWKS (RFC 7517 §5). Keys that cannot be used are left out; so is one whose `kid` and algorithm another key
   * before it has. A key that is here already is taken over as it is.
   *
   * @param document a parsed JSON value
   * @returns the keys, and why others were left out
   * @throws JwksError when it is not a JWKS or holds more than 500 keys
   */
  replaceWith(document: unknown): { readonly keys: KnownKeys; readonly refused: readonly string[] } {
    if (!isJsonObject(document) || !Array.isArray(document.keys)) {
      throw new JwksError('the document is not a JWKS: it has no array "keys"')
    }
    const jwks: readonly unknown[] = document.keys
    if (jwks.length > maxKeys) throw new JwksError(`the JWKS has more than ${maxKeys} keys`)
    const keys: VerificationKey[] = []
    const refused: string[] = []
    const taken = new Set<string>()
    for (const jwk of jwks) {
      const reading = readJwk(jwk)
      if (!reading.ok) {
        refused.push(reading.reason)
        continue
      }
      const names = [...reading.key.algorithms].map((alg) => JSON.stringify([reading.key.kid, alg]))
      if (reading.key.kid !== undefined && names.some((name) => taken.has(name))) {
        refused.push('another key before it has the same "kid" and algorithm')
        continue
      }
      for (const name of names) taken.add(name)
      keys.push(this.#findSame(reading.key) ?? reading.key)
    }
    return { keys: new KnownKeys(keys), refused }
  }

  #findSame({ kid, fingerprint }: VerificationKey): VerificationKey | undefined {
    return this.#byKid.get(kid)?.find((key) => key.fingerprint === fingerprint)
  }
}
