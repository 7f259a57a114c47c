-- A code whose message the gate refused for good is back in its pool. What its claim had been
-- answered stays known: a replay decides as it was decided then.
create table coupon_returned (
    claim         uuid        primary key,
    pool          text        not null,
    code          text        not null,
    enrollment_id uuid        not null,
    at            timestamptz not null
);
create index coupon_returned_run on coupon_returned (enrollment_id);
