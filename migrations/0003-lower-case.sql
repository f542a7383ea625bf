-- The lower case that searches compare in: that of Unicode, letter by letter, whatever the locale of the database is.
-- PostgreSQL 17 and later have it of their own; an older one has it from the system's C library, or else from ICU.
do $$
declare
  source text;
  is_unicode boolean;
begin
  foreach source in array array[
    'provider = builtin, locale = ''C.UTF-8''',
    'provider = libc, locale = ''C.UTF-8''',
    'provider = libc, locale = ''C.utf8''',
    'provider = libc, locale = ''en_US.UTF-8''',
    'provider = libc, locale = ''en_US.utf8''',
    'provider = icu, locale = ''und'''
  ] loop
    begin
      execute format('create collation app.unicode (%s)', source);
      execute 'select lower(U&''\00C9\0416\+010400'' collate app.unicode) = U&''\00E9\0436\+010428''' into is_unicode;
      if is_unicode then
        return;
      end if;
      drop collation app.unicode;
    exception
      -- The server does not have this one.
      when feature_not_supported or invalid_parameter_value or undefined_object or undefined_file
        or invalid_object_definition or syntax_error or object_not_in_prerequisite_state then null;
    end;
  end loop;
  raise exception 'The server has no collation that knows the lower case of Unicode: use a database in UTF-8, on a server with ICU or the locale C.UTF-8';
end
$$;
