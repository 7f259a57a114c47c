-- The whole state of one shop. Every large table carries profile_id, and hot queries name it.

-- Accepted, not yet worked. Emptied by DELETE ... RETURNING in the transaction that writes the
-- consequences. accept_xid lets the audit ask PostgreSQL itself whether a gate could see the row.
create table inbox (
    seq          bigint generated always as identity,
    lane         smallint    not null,
    sender       text        not null,          -- strongest identifier, "kind:value"
    links        boolean     not null,          -- names more than one identifier
    name         text        not null,
    identifiers  text[]      not null,
    id           text        not null,          -- messageId
    time         timestamptz not null,
    received_at  timestamptz not null,
    body         text        not null,          -- the engine.model.Event as JSON
    accept_xid   xid8        not null default pg_current_xact_id()
);
create index inbox_lane on inbox (lane, seq);
create index inbox_sender on inbox (sender);
create index inbox_links on inbox (seq) where links;

create table lane (id smallint primary key);

-- Kept aside where it can be seen and retried: refused at the door or failed in the drain.
create table rejected (
    id           bigint generated always as identity primary key,
    received_at  timestamptz not null,
    source       text        not null,          -- 'collector', 'drain', …
    reason       text        not null,
    body         text        not null
);

-- Audit counters. One row per writer, so no two processes wait for each other's.
create table ledger (
    writer     text   not null,                 -- 'web:<uuid>' or 'lane:17'
    fact       text   not null,                 -- 'accepted', 'taken', 'duplicate', 'refused'
    n          bigint not null default 0,
    primary key (writer, fact)
);

create table profile (
    id             bigint      primary key,
    born_of        text        not null,        -- the identifier that the id was derived from
    traits         jsonb       not null default '{}',
    orders         integer     not null default 0,
    lifetime_value jsonb       not null default '{}',
    first_seen     timestamptz,
    last_seen      timestamptz,
    last_order_at  timestamptz
);

create table identity (
    identifier  text   primary key,             -- 'user:42', 'email:a@b.c', 'anonymous:…'
    profile_id  bigint not null
);
create index identity_profile on identity (profile_id);

-- Links in mails name a profile and never expire; a merge ends the profile. This remembers where
-- it went.
create table former_profile (
    id         bigint primary key,              -- the profile that a link was made for
    profile_id bigint not null                  -- the profile that it is now
);
create index former_profile_now on former_profile (profile_id);

create table event (
    profile_id   bigint      not null,
    id           text        not null,
    kind         text        not null,
    name         text        not null,
    time         timestamptz not null,
    received_at  timestamptz not null,
    processed_at timestamptz not null,
    properties   jsonb       not null,
    context      jsonb       not null,
    accept_xid   xid8        not null
);
create unique index event_id on event (id);     -- counted once (P2)
create index event_history on event (profile_id, name, time);

create table consent (
    profile_id bigint      not null,
    channel    text        not null,
    topic      text        not null,
    granted    boolean     not null,
    at         timestamptz not null,
    source     text        not null default '',
    primary key (profile_id, channel, topic)
);
create index consent_no_ads on consent (profile_id) where channel = 'ads' and not granted;

-- A hard block of one address on one channel, whoever it belongs to. address is 'email:…' / 'phone:…'.
create table suppression (
    address    text        not null,
    channel    text        not null,
    reason     text        not null,
    at         timestamptz not null,
    primary key (address, channel)
);

create table journey_version (
    journey    text        not null,
    version    text        not null,
    source     text        not null,            -- the YAML, as it was
    first_used timestamptz not null,
    primary key (journey, version)
);

create table enrollment (
    profile_id  bigint      not null,
    id          uuid        not null,
    journey     text        not null,
    version     text        not null,
    key         text        not null,
    bucket      bigint      not null,
    event_id    text        not null,
    entered_at  timestamptz not null,
    status      text        not null,
    at          text,
    wake_at     timestamptz,
    waiting_for text        not null default '',
    visits      integer     not null default 0,
    live        boolean     not null default true,   -- a stop can still reach it
    on_audience boolean     not null default false,  -- it put the shopper on an audience
    held_out    boolean     not null default false,
    goal        boolean     not null default false,
    reason      text        not null default '',
    stopped_by  text        not null default '',
    ended_at    timestamptz,
    trace       jsonb       not null default '[]',
    primary key (profile_id, id)
);
create unique index enrollment_one_active on enrollment (profile_id, journey, key) where status = 'active';
create index enrollment_runs on enrollment (profile_id, journey, key, entered_at desc);
create index enrollment_live on enrollment (profile_id) where live;
create index enrollment_wake on enrollment (wake_at) where status = 'active' and wake_at is not null;

create table message (
    profile_id    bigint      not null,
    id            uuid        not null,
    enrollment_id uuid        not null,
    journey       text        not null,
    version       text        not null,
    step          text        not null,
    channel       text        not null,
    template      text        not null,
    topic         text        not null,
    event_id      text        not null,
    created_at    timestamptz not null,
    due_at        timestamptz not null,
    expires_at    timestamptz,
    on_unknown    text        not null default 'hold',
    offer         jsonb       not null default '{}',
    status        text        not null default 'due',
    reason        text        not null default '',
    attempts      integer     not null default 0,
    claimed_at    timestamptz,
    handed_at     timestamptz,                  -- just before the provider was called
    settled_at    timestamptz,
    gate_snapshot pg_snapshot,                  -- what the gate could see when it claimed
    provider      text        not null default '',
    reference     text        not null default '',
    primary key (profile_id, id)
);
create index message_due on message (due_at) where status = 'due';
create index message_claimed on message (claimed_at) where status = 'claimed';
create index message_caps on message (profile_id, channel, claimed_at) where claimed_at is not null;
create index message_unknown on message ((id::text)) where status = 'unknown';
create index message_enrollment on message (profile_id, enrollment_id);

-- One attempt at one message. outcome: accepted, refused, unknown, or null while it is on the wire.
create table delivery (
    profile_id  bigint      not null,
    message_id  uuid        not null,
    attempt     integer     not null,
    handed_at   timestamptz not null,
    settled_at  timestamptz,
    outcome     text,
    detail      text        not null default '',
    primary key (profile_id, message_id, attempt)
);

-- Membership of an audience at an ad platform. wanted is ours; listed what the last file said.
create table audience_member (
    profile_id    bigint      not null,
    audience      text        not null,         -- 'google/left-behind'
    enrollment_id uuid        not null,
    wanted        boolean     not null,
    listed        boolean     not null default false,
    changed_at    timestamptz not null,
    synced_at     timestamptz,
    primary key (profile_id, audience, enrollment_id)
);
create index audience_dirty on audience_member (audience) where wanted <> listed;

-- The clock's leader lease, and other single rows.
create table lease (
    name       text        primary key,
    holder     text        not null,
    until      timestamptz not null
);

insert into lane select generate_series(0, 15);
