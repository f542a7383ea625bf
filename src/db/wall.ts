import type { ClientBase } from 'pg'
import { OperatorError } from '../errors.ts'
import { appRole, scopeStatement } from './scoped-query.ts'

/** The database would let one user reach another's rows; the message lists what is wrong. */
export class WallError extends OperatorError {
  override readonly name = 'WallError'
}

type Findings = { readonly problem: string }

/**
 * What must not be, each as rows of `problem`. Every table with a user_id is one that the wall protects, so a new
 * table without policies stops the service too.
 */
const inspections = `
  with wall_role as (select * from pg_roles where rolname = $1),
  tables as (
    select c.* from pg_class c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app'
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
    where c.relkind in ('r', 'p'))
  select format('role %s does not exist', $1::text) as problem where not exists (select from wall_role)
  union all
  select format('role %s can bypass row-level security', rolname) from wall_role where rolsuper or rolbypassrls
  union all
  select format('role %s is a member of role %s', w.rolname, m.roleid::regrole)
  from wall_role w join pg_auth_members m on m.member = w.oid
  union all
  select format('role %s owns %s', w.rolname, c.oid::regclass) from wall_role w join pg_class c on c.relowner = w.oid
  union all
  select format('role %s owns schema app', w.rolname)
  from wall_role w join pg_namespace n on n.nspowner = w.oid and n.nspname = 'app'
  union all
  select format('row-level security of %s is not forced', oid::regclass)
  from tables where not (relrowsecurity and relforcerowsecurity)
  union all
  select format('%s has no policy', oid::regclass)
  from tables t where not exists (select from pg_policy p where p.polrelid = t.oid)
  union all
  select format('policy %I on %s does not compare user_id with the scope''s user', p.polname, t.oid::regclass)
  from tables t join pg_policy p on p.polrelid = t.oid
  where p.polpermissive and (
    pg_get_expr(p.polqual, p.polrelid) is distinct from $2
    or coalesce(pg_get_expr(p.polwithcheck, p.polrelid), $2) <> $2)
  union all
  select format('role %s may use %s, which is no table with row-level security', w.rolname, c.oid::regclass)
  from wall_role w, pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app'
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not (c.relrowsecurity and c.relforcerowsecurity)
    and has_table_privilege(w.oid, c.oid, 'select, insert, update, delete')
  union all
  select format('role %s may empty %s, which no policy stops', w.rolname, t.oid::regclass)
  from wall_role w, tables t where has_table_privilege(w.oid, t.oid, 'truncate')
  union all
  select format('role %s may call %s, which runs with the rights of its owner', w.rolname, p.oid::regprocedure)
  from wall_role w, pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'app'
  where p.prosecdef and has_function_privilege(w.oid, p.oid, 'execute')
  union all
  select 'the table app.tasks does not exist' where to_regclass('app.tasks') is null`

/** The only expression that a policy on users' rows may have, as PostgreSQL writes it back. */
const policyExpression = `(user_id = current_setting('app.user_id'::text, true))`

/**
 * Checks the third wall: the role of the scopes exists, bypasses nothing and owns nothing, every table of users'
 * rows has row-level security forced and a policy on the user, and the login role can become that role, under which
 * row-level security is active.
 *
 * @throws WallError when any of it does not hold; the service must not serve then
 */
export async function verifyWall(client: ClientBase): Promise<void> {
  const { rows } = await client.query<Findings>(inspections, [appRole, policyExpression])
  const problems = rows.map(({ problem }) => problem)
  if (problems.length === 0) problems.push(...(await probe(client)))
  if (problems.length > 0) {
    throw new WallError(`The database does not keep users apart; refusing to serve: ${problems.join('; ')}.`)
  }
}

/** Enters a scope as every statement does, and asks the server what holds there. */
async function probe(client: ClientBase): Promise<string[]> {
  await client.query('begin')
  try {
    await client.query(scopeStatement.text, [appRole, 'wall-probe', '0'])
    const { rows } = await client.query<{ role: string; active: boolean }>(
      `select current_user as role, row_security_active('app.tasks') as active`,
    )
    const problems: string[] = []
    if (rows[0]?.role !== appRole) problems.push(`the scope runs as role ${rows[0]?.role}`)
    if (rows[0]?.active !== true) problems.push('row-level security is not active within the scope')
    return problems
  } catch (error) {
    return [`the login role cannot become ${appRole} (grant ${appRole} to it): ${String(error)}`]
  } finally {
    await client.query('rollback')
  }
}
