-- Links in mails name a profile and never expire; a merge ends the profile. This remembers where
-- it went. By a trigger on the messages that a merge moves, as a link exists only for a profile
-- that was written to.
create table former_profile (
    id         bigint primary key,              -- the profile that a link was made for
    profile_id bigint not null                  -- the profile that it became
);
create index former_profile_now on former_profile (profile_id);

create function remember_former_profile() returns trigger language plpgsql as $$
begin
    update former_profile set profile_id = new.profile_id where profile_id = old.profile_id;
    insert into former_profile values (old.profile_id, new.profile_id)
    on conflict (id) do update set profile_id = excluded.profile_id;
    return null;
end $$;

create trigger message_moved after update of profile_id on message
for each row when (old.profile_id <> new.profile_id) execute function remember_former_profile();
