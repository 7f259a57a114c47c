-- What is forgotten after a while (`retention` in config/winback.yaml), and how far that has come.

-- One row a kind. Of what is older than "before" nothing may be left to judge by.
create table retention (
    kind    text        primary key,
    before  timestamptz not null,
    gone    bigint      not null default 0,      -- rows, ever
    gone_at timestamptz                          -- the last of them
);

-- The shoppers are gone through once a day. "place": behind this one; null: none is under way.
create table retention_walk (
    single   boolean     primary key default true check (single),
    began_at timestamptz not null,
    place    bigint
);

-- Shoppers of whose log something is gone: older than "before" it is not whole. profile_id is the
-- one of then; former_profile tells who it is now.
create table log_gone (
    profile_id bigint      primary key,
    before     timestamptz not null
);

create index short_link_made on short_link (made_at);
create index rejected_at on rejected (received_at) where source <> 'drain';
