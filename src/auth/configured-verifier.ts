import { fetchJwks } from './jwks-fetch.ts'
import { KeySet, type KeySetEvent } from './key-set.ts'
import { createVerifier, type Verifier } from './verifier.ts'

/** An issuer, what its tokens must name, and how its JWKS is had. */
export type ConfiguredIssuer = {
  readonly issuer: string
  readonly audience: string
  /** Gives the JWKS as it is now; it should end when the signal says so. */
  loadKeys(signal: AbortSignal): Promise<unknown>
}

export type VerifierSettings = {
  readonly secrets: readonly string[]
  /** The issuer whose keys are a JWKS; undefined when there is none. */
  readonly issuer: ConfiguredIssuer | undefined
  readonly clockToleranceS: number
}

export type ConfiguredVerifier = {
  readonly verifier: Verifier
  /** Loads the issuer's keys, so that the first token does not wait and that what is wrong is told. Never fails. */
  warmUp(): Promise<void>
  /** Ends a fetch that is under way, and begins no other: what waits for it is answered at once. */
  stop(): void
}

/** An issuer elsewhere, whose keys are fetched. */
export function fetchedIssuer(address: {
  readonly jwksUrl: string
  readonly issuer: string
  readonly audience: string
}): ConfiguredIssuer {
  const { jwksUrl, issuer, audience } = address
  return { issuer, audience, loadKeys: (signal) => fetchJwks(jwksUrl, signal) }
}

/** The verifier as it is configured. Keys are loaded when they are first needed, or by `warmUp`. */
export function openVerifier(
  { secrets, issuer, clockToleranceS }: VerifierSettings,
  onKeyEvent: (event: KeySetEvent) => void,
): ConfiguredVerifier {
  if (issuer === undefined) {
    return { verifier: createVerifier({ secrets, clockToleranceS }), async warmUp() {}, stop() {} }
  }
  const keys = new KeySet({ load: (signal) => issuer.loadKeys(signal), onEvent: onKeyEvent })
  const { issuer: name, audience } = issuer
  return {
    verifier: createVerifier({ secrets, clockToleranceS, jwks: { keys, issuer: name, audience } }),
    warmUp: () => keys.warmUp(),
    stop: () => keys.stop(),
  }
}
