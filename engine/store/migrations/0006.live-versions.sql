-- Which version of each journey is live, since when and by whom. Each `winback apply` adds a set,
-- whole; the newest counts, the older ones are what a rollback goes back to. No set at all, or a
-- newest one with follows_files: the journeys are the project's files.
create table live_set (
    id            bigint generated always as identity primary key,
    applied_at    timestamptz not null,
    applied_by    text        not null,
    -- the set whose content this one is: itself, or what a rollback went back to
    origin        bigint      not null,
    follows_files boolean     not null default false
);

create table live_version (
    live_set bigint      not null references live_set,
    journey  text        not null,
    version  text        not null,
    since    timestamptz not null,              -- this version, without a break
    by       text        not null,
    primary key (live_set, journey)
);
