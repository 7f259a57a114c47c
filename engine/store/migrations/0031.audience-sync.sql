-- Who is on the lists of ad platforms that are kept up to date by API: one row for each time that
-- a shopper was put on. It holds what the platform was told, as hashes and nothing else, so that
-- an erased shopper or one with a new address leaves under the very hashes of old; they are
-- forgotten when the removal is confirmed.
create table audience_listing (
    profile_id    bigint      not null,
    id            bigint      generated always as identity,
    audience      text        not null,          -- 'google/left-behind'
    enrollment_id uuid        not null,          -- the run that wanted it
    status        text        not null,          -- ready, adding, sent, confirmed, refused,
                                                 -- removing, removed
    digest        bytea       not null,          -- of member: equal for equal rows
    member        jsonb,                         -- the platform's row, hashed
    email         text        not null,          -- the two hashes in it that find people
    phone         text        not null,
    consented     boolean     not null,          -- a yes was said, not merely no no
    maybe         boolean     not null default false,  -- an unanswered call may have put it on
    tries         smallint    not null default 0,
    made_at       timestamptz not null,
    try_at        timestamptz not null,          -- not before
    add_request   uuid,
    add_place     integer,
    sent_at       timestamptz,
    confirmed_at  timestamptz,
    off_at        timestamptz,                   -- when the order, or the no, was accepted
    off_reason    text        not null default '',  -- stopped, left, consent, suppressed, changed,
                                                    -- erased
    off_request   uuid,
    off_place     integer,
    again         boolean     not null default false,  -- it may have overtaken its own addition
    off_sent_at   timestamptz,
    removed_at    timestamptz,
    problem       text        not null default '',
    primary key (profile_id, id)
);
create index audience_listing_ready on audience_listing (audience, try_at) where status = 'ready';
create index audience_listing_off on audience_listing (audience, off_at)
    where off_at is not null and status <> 'removed';
create index audience_listing_same on audience_listing (audience, digest) where status <> 'removed';
create index audience_listing_email on audience_listing (audience, email)
    where status <> 'removed' and email <> '';
create index audience_listing_phone on audience_listing (audience, phone)
    where status <> 'removed' and phone <> '';
create index audience_listing_add on audience_listing (add_request) where status <> 'removed';
create index audience_listing_remove on audience_listing (off_request) where status = 'removing';
create index audience_listing_gone on audience_listing (audience, removed_at)
    where status = 'removed';

-- One call to an ad platform. claimed: on the wire; sent: the platform works on it; lost: nobody
-- knows whether it arrived; done, failed.
create table audience_request (
    id            uuid        primary key,
    audience      text        not null,
    platform      text        not null,
    action        text        not null,          -- add, remove
    members       integer     not null,
    status        text        not null,
    claimed_at    timestamptz not null,
    gate_snapshot pg_snapshot not null,          -- what the gate could see when it claimed (P3)
    wire_ms       real,                          -- real time from the gate to the call
    sent_at       timestamptz,
    settled_at    timestamptz,
    look_at       timestamptz,                   -- when to ask for its progress next
    looks         integer     not null default 0,
    reference     text        not null default '',  -- the platform's name for it
    detail        text        not null default ''
);
create index audience_request_open on audience_request (audience, status)
    where status in ('claimed', 'sent', 'lost');
create index audience_request_rate on audience_request (platform, claimed_at);

-- A platform, or one audience of it, that is left alone for a while, and why.
create table audience_hold (
    subject text        primary key,             -- 'google' or 'google/left-behind'
    until   timestamptz not null,
    reason  text        not null
);

-- What the platforms said of the size of each list, day by day.
create table audience_size (
    audience  text        not null,
    at        timestamptz not null,
    confirmed bigint      not null,
    low       bigint,
    high      bigint,
    mended    bigint      not null,              -- rows put right by that day's look
    note      text        not null default '',
    primary key (audience, at)
);

-- Of a place that a segment holds, and no run, its name (enrollment_id is derived from it): it is
-- as good as the membership.
alter table audience_member add column segment text not null default '';
create index audience_fed on audience_member (audience, profile_id) where segment <> '';

-- The two kinds of work in audience_member: who comes, in order, and who is to be let go.
create index audience_coming on audience_member (audience, profile_id) where wanted and not listed;
create index audience_leaving on audience_member (audience, profile_id) where listed and not wanted;
create index suppression_at on suppression (at);
