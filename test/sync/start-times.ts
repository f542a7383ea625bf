import type { TestDatabase } from '../support/database.ts'

/**
 * Makes a database in which a change has the time at which its transaction began for a number, as in a design with
 * `updated_at > since` and now(): in microseconds since the database was made, and three digits that keep tasks of one
 * transaction apart. Writers still wait for each other, so of two that race the numbers differ and the one that began first
 * may still commit last. All else is as it is: the service does not notice.
 */
export async function useStartTimes({ query }: TestDatabase): Promise<void> {
  const [row] = await query<{ madeAt: string }>(`select extract(epoch from now())::text as "madeAt"`)
  await query('create sequence app.apart maxvalue 998 cycle')
  await query('grant usage on sequence app.apart to backend_core_app')
  await query(`create function app.start_time() returns bigint language sql as
    'select ((extract(epoch from transaction_timestamp()) - ${Number(row?.madeAt)}) * 1000000)::bigint * 1000'`)
  // A write that leaves the version as it is, as ageing does, is no change.
  await query(`create function app.number_by_time() returns trigger language plpgsql as $$
    begin
      if tg_op = 'INSERT' or new.version <> old.version then
        new.version := app.start_time() + nextval('app.apart');
      end if;
      return new;
    end $$`)
  await query(`create trigger number_by_time before insert or update on app.tasks
    for each row execute function app.number_by_time()`)
  await query(`create function app.count_by_time() returns trigger language plpgsql as $$
    begin
      new.version := greatest(app.start_time() + 999, case when tg_op = 'UPDATE' then old.version end);
      return new;
    end $$`)
  await query(`create trigger count_by_time before insert or update on app.change_counters
    for each row execute function app.count_by_time()`)
}
