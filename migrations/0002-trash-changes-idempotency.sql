-- The trash, the change feed's memory of what was removed for good, idempotency keys, the indexes of the lists, and a
-- second role that looks across users and changes nothing.

do $$
begin
  if not exists (select from pg_roles where rolname = 'backend_core_observer') then
    create role backend_core_observer nologin nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;

do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant backend_core_observer to %I', current_user);
  end if;
exception
  when insufficient_privilege then null;
end
$$;

-- A cursor of the change feed below this is expired: deletions up to here may have been forgotten.
alter table app.change_counters
  add column expired_before bigint not null default 0 check (expired_before between 0 and version);

-- Not null: in the trash.
alter table app.tasks add column deleted_at timestamptz(3);

-- Every list is one of these, read forwards or backwards. An index for each sort with and without completed, so that a
-- list of few among many reads those few.
drop index app.tasks_by_creation;
drop index app.tasks_by_completed_and_creation;
create index tasks_by_creation on app.tasks (user_id, created_at, id) where deleted_at is null;
create index tasks_by_update on app.tasks (user_id, updated_at, id) where deleted_at is null;
create index tasks_by_title on app.tasks (user_id, title, id) where deleted_at is null;
create index tasks_by_completed_and_creation on app.tasks (user_id, completed, created_at, id) where deleted_at is null;
create index tasks_by_completed_and_update on app.tasks (user_id, completed, updated_at, id) where deleted_at is null;
create index tasks_by_completed_and_title on app.tasks (user_id, completed, title, id) where deleted_at is null;
create index tasks_in_trash on app.tasks (user_id, deleted_at, id) where deleted_at is not null;

-- The order of the change feed. Unique, so that the database itself refuses two changes with one number.
create unique index tasks_by_version on app.tasks (user_id, version);

-- What was removed for good, so that the change feed can still tell of it.
create table app.deletions (
  user_id text collate "C" not null check (char_length(user_id) between 1 and 255),
  id uuid not null,
  -- The user's change number of the deletion, as the task had it in the trash.
  version bigint not null check (version > 0),
  removed_at timestamptz(3) not null,
  primary key (user_id, id)
);
create unique index deletions_by_version on app.deletions (user_id, version);
create index deletions_by_removal on app.deletions (user_id, removed_at);

create table app.idempotency_keys (
  user_id text collate "C" not null check (char_length(user_id) between 1 and 255),
  key text collate "C" not null check (char_length(key) between 1 and 255),
  -- SHA-256 of the request, in base64url.
  fingerprint text collate "C" not null,
  -- json keeps the order of members; jsonb would not.
  answer json not null,
  expires_at timestamptz(3) not null,
  primary key (user_id, key)
);
create index idempotency_keys_by_expiry on app.idempotency_keys (user_id, expires_at);

alter table app.deletions enable row level security;
alter table app.deletions force row level security;
alter table app.idempotency_keys enable row level security;
alter table app.idempotency_keys force row level security;

create policy own_rows on app.deletions to backend_core_app
  using (user_id = current_setting('app.user_id', true))
  with check (user_id = current_setting('app.user_id', true));
create policy own_rows on app.idempotency_keys to backend_core_app
  using (user_id = current_setting('app.user_id', true))
  with check (user_id = current_setting('app.user_id', true));
grant select, insert, update, delete on app.deletions to backend_core_app;
grant select, insert, update, delete on app.idempotency_keys to backend_core_app;

-- The observer sees which users have something new or due, and nothing of what it is.
create policy observed on app.change_counters for select to backend_core_observer using (true);
create policy observed on app.tasks for select to backend_core_observer using (true);
create policy observed on app.deletions for select to backend_core_observer using (true);
create policy observed on app.idempotency_keys for select to backend_core_observer using (true);
grant usage on schema app to backend_core_observer;
grant select (user_id, version) on app.change_counters to backend_core_observer;
grant select (user_id, deleted_at) on app.tasks to backend_core_observer;
grant select (user_id, removed_at) on app.deletions to backend_core_observer;
grant select (user_id, expires_at) on app.idempotency_keys to backend_core_observer;
