import { preparedName, type Step } from './exchange.ts'

/** The role that every statement on a user's data runs under: it owns nothing and cannot bypass row-level security. */
export const appRole = 'backend_core_app'

/** The role that looks across users: it sees which of them have something new or due, and changes nothing. */
export const observerRole = 'backend_core_observer'

/**
 * The statement that raises the third wall for the transaction that it runs in, and no longer: role and user are set
 * with is_local. The time zone makes the text of timestamps a constant form; the time-out is the server's half of
 * the database's deadline.
 */
export const scopeText = `select set_config('role', $1, true), set_config('app.user_id', $2, true), set_config('TimeZone', 'UTC', true), set_config('statement_timeout', $3, true)`

/** How long a statement that shares its connection may wait for a lock, in milliseconds; others wait behind it. */
const sharedLockTimeoutMs = 20

/** The same for a statement that shares its connection. */
export const sharedScopeText = `${scopeText}, set_config('lock_timeout', '${sharedLockTimeoutMs}', true)`

const scope = { name: preparedName('scope', scopeText), text: scopeText }
const sharedScope = { name: preparedName('shared_scope', sharedScopeText), text: sharedScopeText }

/** The step that enters the scope of a user; the time-out of each statement in milliseconds. */
export function enterScope(userId: string, timeoutMs: number): Step {
  return { ...scope, values: [appRole, userId, String(timeoutMs)] }
}

/** The same, for a statement that is to fail rather than wait for a lock. */
export function enterSharedScope(userId: string, timeoutMs: number): Step {
  return { ...sharedScope, values: [appRole, userId, String(timeoutMs)] }
}

/** The step that enters the scope of the observer, who is no user. */
export function enterObserverScope(timeoutMs: number): Step {
  return { ...scope, values: [observerRole, '', String(timeoutMs)] }
}
