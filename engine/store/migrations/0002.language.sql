-- What the rest of the language keeps: a run's offer, how a message waits, calendars looked at.

alter table enrollment add column offer jsonb not null default '{}';

alter table message
    add column priority    integer not null default 0,
    add column when_quiet  text    not null default 'wait',
    add column when_capped text    not null default 'skip',
    add column grace       interval;            -- null: past expires_at it is skipped

-- How far the shoppers have been searched for the calendar of a journey. A search that is under
-- way goes on behind the profile "place"; it covers the time from "until" to "target".
create table calendar_look (
    journey text        primary key,
    until   timestamptz not null,
    target  timestamptz,
    place   bigint      not null default -1
);
