import { fetchJwks } from './jwks-fetch.ts'
import { KeySet, type KeySetEvent } from './key-set.ts'
import { createVerifier, type Verifier } from './verifier.ts'

export type VerifierSettings = {
  readonly secrets: readonly string[]
  /** The issuer whose keys are fetched; undefined when there is none. */
  readonly issuer:
    | { readonly jwksUrl: string; readonly issuer: string; readonly audience: string }
    | undefined
  readonly clockToleranceS: number
}

export type ConfiguredVerifier = {
  readonly verifier: Verifier
  /** Ends a fetch that is under way, and begins no other: what waits for it is answered at once. */
  stop(): void
}

/**
 * The verifier as it is configured. The first fetch of an issuer's keys begins at once, only so that the first token
 * does not wait and that what is wrong with the address is told; nothing waits for it here.
 */
export function openVerifier(
  { secrets, issuer, clockToleranceS }: VerifierSettings,
  onKeyEvent: (event: KeySetEvent) => void,
): ConfiguredVerifier {
  if (issuer === undefined) return { verifier: createVerifier({ secrets, clockToleranceS }), stop() {} }
  const keys = new KeySet({ load: (signal) => fetchJwks(issuer.jwksUrl, signal), onEvent: onKeyEvent })
  void keys.warmUp()
  return {
    verifier: createVerifier({ secrets, clockToleranceS, jwks: { ...issuer, keys } }),
    stop: () => keys.stop(),
  }
}
