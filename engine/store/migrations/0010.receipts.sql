-- How far each message has come by what its provider reports (engine.core.receipts): only ever
-- on. And the short links of text messages, whose rows are what they lead to.
alter table message
    add column reached smallint not null default 0,
    add column trouble smallint not null default 0;

create table short_link (
    code       text        primary key,
    url        text        not null,
    profile_id bigint      not null,
    message_id uuid        not null,
    made_at    timestamptz not null
);
