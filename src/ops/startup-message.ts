/** What the console says once the service is up, outside production. */
export function startupMessage(facts: {
  readonly address: string
  readonly readyInMs: number
  readonly database: string
}): string {
  const { address, readyInMs, database } = facts
  return `
backend-core is ready in ${(readyInMs / 1000).toFixed(1)} s

  Address    ${address}
  Docs       ${address}/docs
  Database   ${database}

Create a task, from this folder in another terminal:

  curl -sS ${address}/api/me/tasks \\
    -H "Authorization: Bearer $(npm run --silent token -- demo)" \\
    -H "Content-Type: application/json" \\
    -d '{"title":"Buy milk"}'

`
}
