-- Tasks and the change counter of each user, and the wall between users: row-level security, forced, under a role
-- that owns nothing. Runs in one transaction as the role of DATABASE_URL.

-- Roles belong to the whole cluster: another database of it may have made this one already, perhaps just now.
do $$
begin
  if not exists (select from pg_roles where rolname = 'backend_core_app') then
    create role backend_core_app nologin nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;

-- The login role must be able to become it. A superuser is already; another may grant itself the membership when it
-- made the role. Where neither holds, the check of the wall at start-up says what is missing.
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant backend_core_app to %I', current_user);
  end if;
exception
  when insufficient_privilege then null;
end
$$;

-- The number of each user's last change. Writers of one user queue on its row; nobody else waits.
create table app.change_counters (
  user_id text collate "C" primary key check (char_length(user_id) between 1 and 255),
  version bigint not null check (version >= 0)
);

create table app.tasks (
  user_id text collate "C" not null check (char_length(user_id) between 1 and 255),
  id uuid not null,
  title text collate "C" not null check (char_length(title) between 1 and 255),
  description text check (char_length(description) <= 10000),
  completed boolean not null,
  completed_at timestamptz(3),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  -- The user's change number at the task's last change.
  version bigint not null check (version > 0),
  primary key (user_id, id),
  check (completed = (completed_at is not null))
);

-- Newest first, all or by completed; both read backwards. No index on completed alone: no query leaves out user_id.
create index tasks_by_creation on app.tasks (user_id, created_at, id);
create index tasks_by_completed_and_creation on app.tasks (user_id, completed, created_at, id);

alter table app.change_counters enable row level security;
alter table app.change_counters force row level security;
alter table app.tasks enable row level security;
alter table app.tasks force row level security;

-- Without the setting (null) no row is visible and none can be written.
create policy own_rows on app.change_counters to backend_core_app
  using (user_id = current_setting('app.user_id', true))
  with check (user_id = current_setting('app.user_id', true));
create policy own_rows on app.tasks to backend_core_app
  using (user_id = current_setting('app.user_id', true))
  with check (user_id = current_setting('app.user_id', true));

grant usage on schema app to backend_core_app;
grant select, insert, update on app.change_counters to backend_core_app;
grant select, insert, update, delete on app.tasks to backend_core_app;
