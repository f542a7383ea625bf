import type { ClientBase } from 'pg'
import { OperatorError } from '../errors.ts'
import { appRole, observerRole, scopeText } from './scope.ts'

/** The database would let one user reach another's rows; the message lists what is wrong. */
export class WallError extends OperatorError {
  override readonly name = 'WallError'
}

type Findings = { readonly problem: string }

/**
 * What must not be, each as rows of `problem`. Every table with a user_id is one that the wall protects, so a new
 * table without policies stops the service too. Partitions of it are among them, in whatever schema; they need no policy,
 * since without one nobody reads or writes them but through their table.
 */
const inspections = `
  with wall_roles as (select * from pg_roles where rolname in ($1, $3)),
  app_role as (select * from wall_roles where rolname = $1),
  observer as (select * from wall_roles where rolname = $3),
  tables as (
    select c.* from pg_class c
    join pg_class root on root.oid = coalesce(pg_partition_root(c.oid), c.oid)
    join pg_namespace n on n.oid = root.relnamespace and n.nspname = 'app'
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
    where c.relkind in ('r', 'p'))
  select format('role %s does not exist', role) as problem
  from unnest(array[$1::text, $3::text]) role where not exists (select from wall_roles where rolname = role)
  union all
  select format('role %s can bypass row-level security', rolname) from wall_roles where rolsuper or rolbypassrls
  union all
  select format('role %s is a member of role %s', w.rolname, m.roleid::regrole)
  from wall_roles w join pg_auth_members m on m.member = w.oid
  union all
  select format('role %s owns %s', w.rolname, c.oid::regclass) from wall_roles w join pg_class c on c.relowner = w.oid
  union all
  select format('role %s owns schema app', w.rolname)
  from wall_roles w join pg_namespace n on n.nspowner = w.oid and n.nspname = 'app'
  union all
  select format('row-level security of %s is not forced', oid::regclass)
  from tables where not (relrowsecurity and relforcerowsecurity)
  union all
  select format('%s has no policy', oid::regclass)
  from tables t where not t.relispartition and not exists (
    select from pg_policy p, app_role w where p.polrelid = t.oid and p.polroles && array[w.oid, 0::oid])
  union all
  select format('policy %I on %s does not compare user_id with the scope''s user', p.polname, t.oid::regclass)
  from tables t join pg_policy p on p.polrelid = t.oid
  where p.polpermissive and (
    pg_get_expr(p.polqual, p.polrelid) is distinct from $2
    or coalesce(pg_get_expr(p.polwithcheck, p.polrelid), $2) <> $2)
    and not exists (select from observer o where p.polroles = array[o.oid] and p.polcmd = 'r')
  union all
  select format('role %s may read column %s of %s', o.rolname, a.attname, a.attrelid::regclass)
  from observer o, pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app'
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and has_column_privilege(o.oid, c.oid, a.attnum, 'select')
    and (c.relname, a.attname) not in (select * from unnest($4::text[], $5::text[]))
  union all
  select format('role %s may change %s', o.rolname, c.oid::regclass)
  from observer o, pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app'
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and (has_any_column_privilege(o.oid, c.oid, 'insert, update') or has_table_privilege(o.oid, c.oid, 'delete'))
  union all
  select format('role %s may use %s, which is no table with row-level security', w.rolname, c.oid::regclass)
  from app_role w, pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app'
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not (c.relrowsecurity and c.relforcerowsecurity)
    and has_table_privilege(w.oid, c.oid, 'select, insert, update, delete')
  union all
  select format('role %s may empty %s, which no policy stops', w.rolname, t.oid::regclass)
  from wall_roles w, tables t where has_table_privilege(w.oid, t.oid, 'truncate')
  union all
  select format('role %s may call %s, which runs with the rights of its owner', w.rolname, p.oid::regprocedure)
  from wall_roles w, pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'app'
  where p.prosecdef and has_function_privilege(w.oid, p.oid, 'execute')
  union all
  select 'the table app.tasks does not exist' where to_regclass('app.tasks') is null`

/** The only expression that a policy on users' rows may have, as PostgreSQL writes it back. */
const policyExpression = `(user_id = current_setting('app.user_id'::text, true))`

/** What the observer may read, as `table.column`: whose, which version and when, and no text. */
const observed = [
  'change_counters.user_id',
  'change_counters.version',
  'tasks.user_id',
  'tasks.deleted_at',
  'deletions.user_id',
  'deletions.removed_at',
  'idempotency_keys.user_id',
  'idempotency_keys.expires_at',
]

/**
 * Checks the third wall: the role of the scopes exists, bypasses nothing and owns nothing, every table of users'
 * rows has row-level security forced and a policy on the user, and the login role can become that role, under which
 * row-level security is active.
 *
 * @throws WallError when any of it does not hold; the service must not serve then
 */
export async function verifyWall(client: ClientBase): Promise<void> {
  const { rows } = await client.query<Findings>(inspections, [
    appRole,
    policyExpression,
    observerRole,
    observed.map((each) => each.split('.')[0]),
    observed.map((each) => each.split('.')[1]),
  ])
  const problems = rows.map(({ problem }) => problem)
  if (problems.length === 0) problems.push(...(await probe(client)))
  if (problems.length > 0) {
    throw new WallError(`The database does not keep users apart; refusing to serve: ${problems.join('; ')}.`)
  }
}

/** Enters a scope as every statement does, and asks the server what holds there. */
async function probe(client: ClientBase): Promise<string[]> {
  await client.query('begin')
  let role = appRole
  try {
    await client.query(scopeText, [appRole, 'wall-probe', '0'])
    const { rows } = await client.query<{ role: string; active: boolean }>(
      `select current_user as role, row_security_active('app.tasks') as active`,
    )
    const problems: string[] = []
    if (rows[0]?.role !== appRole) problems.push(`the scope runs as role ${rows[0]?.role}`)
    if (rows[0]?.active !== true) problems.push('row-level security is not active within the scope')
    await client.query('rollback; begin')
    role = observerRole
    await client.query(scopeText, [observerRole, '', '0'])
    return problems
  } catch (error) {
    return [`the login role cannot become ${role} (grant ${role} to it): ${String(error)}`]
  } finally {
    await client.query('rollback')
  }
}
