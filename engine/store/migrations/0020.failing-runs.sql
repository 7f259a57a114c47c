-- Since when a run should have gone on from a step that raises. It is tried again at wake_at; this
-- is the time by which it is late then.
alter table enrollment add column failing_since timestamptz;
create index enrollment_failing on enrollment (journey, version) where failing_since is not null;

-- Faults of journeys (P10), counted. One row per writer, as in the ledger, so that a journey that
-- fails for everybody makes no worker wait for another.
create table journey_failure (
    journey    text        not null,
    version    text        not null,
    path       text        not null,            -- of the YAML
    error      text        not null,            -- type of the exception
    writer     text        not null,            -- 'lane:3', 'wake'
    n          bigint      not null,
    first_at   timestamptz not null,
    last_at    timestamptz not null,
    text       text        not null,            -- of the last one, without anybody's data
    raised_at  text        not null,            -- the line of code
    profile_id bigint      not null,            -- the last shopper, for `winback explain`
    primary key (journey, version, path, error, writer)
);
