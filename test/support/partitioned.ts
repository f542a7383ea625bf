import { readFile } from 'node:fs/promises'

/** The tables of users' data, each of which the recipe gives so many partitions. */
export const partitionCount = 16

/** What an operator runs to partition a database by user: docs/partition-by-user.sql, as it stands. */
export function partitionByUser(): Promise<string> {
  return readFile(new URL('../../docs/partition-by-user.sql', import.meta.url), 'utf8')
}

/** A partition's table and its number; undefined for the name of anything else. */
export function partitionOf(
  relation: string,
): { readonly table: string; readonly number: string } | undefined {
  const [, table, number] = /^(\w+)_p(\d\d)$/.exec(relation) ?? []
  return table !== undefined && number !== undefined ? { table, number } : undefined
}
