-- Which provider carries what, how fast, and what is paused.

-- Providers that are left alone for a while: our account or they themselves are at fault, or they
-- asked for it. A row goes when a probe went through.
create table sender_state (
    provider text        primary key,
    kind     text        not null,              -- 'account', 'away': probed; 'busy': ends at until
    reason   text        not null,
    since    timestamptz not null,
    until    timestamptz not null,              -- the next probe, or the end
    probes   integer     not null default 0     -- that failed
);

-- What is leased of the limit of a provider or sender. Moments in seconds of PostgreSQL's own
-- clock: the workers' clocks need not agree.
create table sender_rate (
    name           text             primary key,  -- 'sendgrid', 'shop@example.com', '+15005550006'
    next_all       double precision not null,     -- when the next free slot begins
    next_promotion double precision not null,
    day            date             not null,     -- the shop's, for the warm-up
    taken          integer          not null      -- messages of that day
);

-- What a person or Winback itself has paused. Kept when it is resumed: who did what, and when.
create table pause (
    id         bigint generated always as identity primary key,
    subject    text        not null,            -- 'journey:NAME' or 'provider:NAME'
    since      timestamptz not null,
    by         text        not null,            -- a person, or 'winback'
    reason     text        not null,
    figures    jsonb       not null default '{}',
    resumed_at timestamptz,
    resumed_by text        not null default ''
);
create unique index pause_open on pause (subject) where resumed_at is null;

-- Reports not yet counted. Only ever added to by the drains, who would wait for each other at a
-- counter; emptied into the counters once a minute.
create table report (
    profile_id bigint not null,
    message_id uuid   not null,
    kind       text   not null                  -- delivered, bounced, complained
);

create table report_hour (
    subject    text        not null,            -- as in pause
    hour       timestamptz not null,            -- in which they were counted
    delivered  integer     not null default 0,
    bounced    integer     not null default 0,
    complained integer     not null default 0,
    primary key (subject, hour)
);

alter table message
    add column held    text    not null default '',  -- the paused journey that keeps it
    add column look_at timestamptz,                  -- when its unknown outcome is looked up next
    add column looks   integer not null default 0;

-- The trace is by what the provider's own list tells a message again: hashes, no address.
alter table delivery
    add column provider   text not null default '',
    add column trace      text not null default '',
    add column settled_by text not null default '';  -- of an unknown outcome: report, look-up

-- The next to go are found by channel and topic: receipts before promotion, nothing of a channel
-- that is closed, however much of it waits.
drop index message_due;
create index message_due on message (channel, topic, due_at) where status = 'due' and held = '';
create index message_held on message (held) where status = 'due' and held <> '';

-- A report settles a message also while it waits to be tried again.
drop index message_unknown;
create index message_unknown on message ((id::text))
    where status = 'unknown' or (status = 'due' and on_unknown = 'retry' and attempts > 0);
create index message_look on message (provider, look_at)
    where status = 'unknown' and look_at is not null;
