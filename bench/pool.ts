import type pg from 'pg'

/** As the owner, whom no policy hinders; texts as they come, in the form that the service has them in. */
export function floorConnection(connectionString: string): pg.PoolConfig {
  return {
    connectionString,
    options: '-c TimeZone=UTC',
    // pg takes any function here; its types want one for each type.
    types: { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig,
  }
}
