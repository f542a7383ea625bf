-- Gives every table of users' data (each in the schema app that has a user_id) 16 partitions, by the hash of the user.
-- What it has otherwise stays: rows, keys, indexes, policies, grants, settings. See scaling.md before running it.
--
-- With the service stopped, as the role of DATABASE_URL:
--
--   psql "$DATABASE_URL" --single-transaction -v ON_ERROR_STOP=1 -f docs/partition-by-user.sql
--
-- Tables that have partitions are left alone: after a migration that adds a table, run it again.
do $$
declare
  partitions constant int := 16;
  source record;
  plain text;
  part text;
  definition text;
  copied bigint;
  expected bigint;
begin
  for source in
    select c.oid, c.relname as name, c.relowner::regrole::text as owner, c.reloptions as options,
      -- What LIKE does not copy, as statements that name the table.
      array(
        select format('alter table app.%I add constraint %I %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
        from pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'f') order by k.contype desc, k.conname
      ) || array(
        select pg_get_indexdef(i.indexrelid) from pg_index i
        where i.indrelid = c.oid and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
        order by i.indexrelid
      ) || array(
        select pg_get_statisticsobjdef(s.oid) from pg_statistic_ext s where s.stxrelid = c.oid order by s.oid
      ) || array(
        select format('create policy %I on app.%I as %s for %s to %s', p.policyname, p.tablename, p.permissive, p.cmd,
            (select string_agg(case r when 'public' then r else quote_ident(r) end, ', ') from unnest(p.roles::text[]) r))
          || coalesce(' using (' || p.qual || ')', '') || coalesce(' with check (' || p.with_check || ')', '')
        from pg_policies p where p.schemaname = 'app' and p.tablename = c.relname order by p.policyname
      ) || array(
        select format('grant %s%s on app.%I to %s%s', a.privilege_type, ' (' || quote_ident(a.attname) || ')', c.relname,
          case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
          case when a.is_grantable then ' with grant option' end)
        from (
          select null as attname, g.* from aclexplode(c.relacl) g
          union all
          select t.attname, g.* from pg_attribute t, aclexplode(t.attacl) g where t.attrelid = c.oid) a
        where a.grantee <> c.relowner
      ) || format('alter table app.%I enable row level security, force row level security', c.relname)
        || format('analyze app.%I', c.relname) as definitions
    from pg_class c join pg_attribute u on u.attrelid = c.oid and u.attname = 'user_id' and not u.attisdropped
    where c.relnamespace = 'app'::regnamespace and c.relkind = 'r' and not c.relispartition
    order by c.relname
  loop
    if source.owner <> quote_ident(current_user) then
      raise exception 'app.% is owned by %: run this as that role', source.name, source.owner;
    end if;
    if exists (select from pg_trigger where tgrelid = source.oid and not tgisinternal) then
      raise exception 'app.% has triggers, which this does not copy', source.name;
    end if;
    plain := source.name || '_without_partitions';
    execute format('alter table app.%I rename to %I', source.name, plain);
    -- It is forced on the owner too, who would find nothing to copy.
    execute format('alter table app.%I disable row level security', plain);
    execute format('create table app.%I (like app.%I including all excluding indexes excluding statistics)'
      ' partition by hash (user_id)', source.name, plain);
    for n in 0 .. partitions - 1 loop
      part := format('%s_p%s', source.name, to_char(n, 'FM00'));
      execute format('create table app.%I partition of app.%I for values with (modulus %s, remainder %s) %s',
        part, source.name, partitions, n, 'with (' || array_to_string(source.options, ', ') || ')');
      -- No policy and no grant: partitions are read and written through their table alone, under its policies.
      execute format('alter table app.%I enable row level security, force row level security', part);
    end loop;
    execute format('insert into app.%I select * from app.%I', source.name, plain);
    get diagnostics copied = row_count;
    execute format('select count(*) from app.%I', plain) into expected;
    if copied <> expected then
      raise exception 'app.%: % rows copied of %', source.name, copied, expected;
    end if;
    execute format('drop table app.%I', plain);
    foreach definition in array source.definitions loop
      execute definition;
    end loop;
  end loop;
end
$$;
