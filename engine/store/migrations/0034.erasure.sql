-- Who has just said no to ads, for the look after every transaction of the workers.
create index consent_no_ads_at on consent (at) where channel = 'ads' and not granted;

-- That somebody was erased, when and by whom. Nothing here leads to who it was, but for one who
-- knows an identifier of theirs and the shop's secret.
create table erasure (
    id         uuid        primary key,
    at         timestamptz not null,
    by         text        not null,
    "rows"     bigint      not null             -- deleted
);
create table erased (
    digest  text        primary key,            -- HMAC-SHA256 of "kind:value" by the shop's secret
    erasure uuid        not null references erasure,
    at      timestamptz not null
);
-- What the journeys had done with those who were erased: tallies go on counting it.
create table erased_tally (
    journey  text   primary key,
    runs     bigint not null,
    held_out bigint not null,
    sent     bigint not null,
    stopped  bigint not null,
    goals    bigint not null
);
-- Rows of hashes that are kept until their platform has removed them.
create index audience_listing_erased on audience_listing (audience) where off_reason like 'erased%';
