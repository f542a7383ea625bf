/** What the console says once the service is up, outside production. */
export function startupMessage(facts: {
  readonly address: string
  readonly readyInMs: number
  readonly database: string
  /** Whether `npm run token` can sign tokens; if not, only the issuer can. */
  readonly tokenCommand: boolean
}): string {
  const { address, readyInMs, database, tokenCommand } = facts
  const token = tokenCommand ? '$(npm run --silent token -- demo)' : '$TOKEN'
  const terminal = tokenCommand
    ? 'another terminal'
    : "another terminal, with a token of your front end's as TOKEN"
  return `
backend-core is ready in ${(readyInMs / 1000).toFixed(1)} s

  Address    ${address}
  Docs       ${address}/docs
  Database   ${database}

Create a task, from this folder in ${terminal}:

  curl -sS ${address}/api/me/tasks \\
    -H "Authorization: Bearer ${token}" \\
    -H "Content-Type: application/json" \\
    -d '{"title":"Buy milk"}'

`
}
