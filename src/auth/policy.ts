/** What a key of one source may be used for, and what the claims of a token signed with it must be. */
export type TokenPolicy = {
  /** The token's header only says which of these it is; it can never choose another (RFC 8725 §3.1). */
  readonly algorithms: readonly string[]
  readonly requiredClaims: readonly string[]
  /** Claims that can name the user. At least one is there, and all that are there agree. */
  readonly userIdClaims: readonly string[]
  /** Claims that do not suffice to name the user, but must agree with those that do when they are there. */
  readonly agreeingClaims: readonly string[]
  /** Audiences of tokens that are signed with the same key for another purpose. */
  readonly refusedAudiences: readonly string[]
}

/**
 * The whole policy: where a key comes from decides the algorithms, the required claims and the claims that name the
 * user. The same for both: the strict compact form (compact-jws.ts) and the rules for times and ids (claims.ts).
 *
 * - `secret`: Better Auth signs other things with it. An e-mail verification link names its user in `userId` and a
 *   session cookie in `session.userId`, so neither claim makes an access token.
 * - `keySet`: the keys of an issuer, as a JWKS. Issuer and audience are compared too. A token of the jwt plugin holds
 *   the whole user, `id` included: only `sub` is never the user's to write, and one that differs is refused.
 */
export const tokenPolicies = {
  secret: {
    algorithms: ['HS256'],
    requiredClaims: ['exp'],
    userIdClaims: ['sub', 'user_id', 'id'],
    agreeingClaims: ['userId'],
    refusedAudiences: ['better-auth:session-cache'],
  },
  keySet: {
    algorithms: [
      ...['EdDSA', 'Ed25519'],
      ...['ES256', 'ES384', 'ES512'],
      ...['RS256', 'RS384', 'RS512'],
      ...['PS256', 'PS384', 'PS512'],
    ],
    requiredClaims: ['exp', 'iss', 'aud', 'sub'],
    userIdClaims: ['sub'],
    agreeingClaims: ['user_id', 'id', 'userId'],
    refusedAudiences: ['better-auth:session-cache'],
  },
} as const satisfies Record<string, TokenPolicy>
