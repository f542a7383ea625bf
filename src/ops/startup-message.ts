/** How a newcomer gets a token: an account of the service's own, its token command, or an issuer elsewhere. */
type FirstRequest = 'account' | 'token' | 'issuer'

/** What the console says once the service is up, outside production. */
export function startupMessage(facts: {
  readonly address: string
  readonly readyInMs: number
  readonly database: string
  readonly firstRequest: FirstRequest
}): string {
  const { address, readyInMs, database, firstRequest } = facts
  const first = firstRequest === 'account' ? firstAccount(address) : firstTask(address, firstRequest)
  return [
    '',
    `backend-core is ready in ${(readyInMs / 1000).toFixed(1)} s`,
    '',
    `  Address    ${address}`,
    `  Docs       ${address}/docs`,
    `  Database   ${database}`,
    '',
    first,
    '',
  ].join('\n')
}

/** Can be pasted again: the account is there then, and signing in gives a new token. */
function firstAccount(address: string): string {
  return `Sign up, sign in, get a token and create a task, in another terminal:

  json="Content-Type: application/json"
  demo='{"name":"Demo","email":"demo@example.com","password":"buy-more-milk"}'
  curl -sS ${address}/api/auth/sign-up/email -H "$json" -d "$demo" -o /dev/null
  session=$(curl -sS ${address}/api/auth/sign-in/email -H "$json" -d "$demo" | cut -d'"' -f6)
  token=$(curl -sS ${address}/api/auth/token -H "Authorization: Bearer $session" | cut -d'"' -f4)
  curl -sS ${address}/api/me/tasks -H "Authorization: Bearer $token" -H "$json" -d '{"title":"Buy milk"}'
`
}

function firstTask(address: string, firstRequest: 'token' | 'issuer'): string {
  const isSigned = firstRequest === 'token'
  const token = isSigned ? '$(npm run --silent token -- demo)' : '$TOKEN'
  const terminal = isSigned
    ? 'another terminal'
    : "another terminal, with a token of your front end's as TOKEN"
  return `Create a task, from this folder in ${terminal}:

  curl -sS ${address}/api/me/tasks \\
    -H "Authorization: Bearer ${token}" \\
    -H "Content-Type: application/json" \\
    -d '{"title":"Buy milk"}'
`
}
