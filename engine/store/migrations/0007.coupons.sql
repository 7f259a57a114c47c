-- Codes of coupons that the shop imported, each handed out at most once. A claim is one step of one
-- run, whoever the shopper has become since, so that neither a retry nor a merge changes its code.
create table coupon (
    code          text   primary key,                   -- in one pool only: it is one shopper's
    pool          text   not null,
    place         bigint generated always as identity,  -- handed out in the order of the import
    claim         uuid   unique,                        -- null: still in the pool
    enrollment_id uuid,
    claimed_at    timestamptz
);
create index coupon_left on coupon (pool, place) where claim is null;
create index coupon_claimed on coupon (pool, claimed_at) where claim is not null;
create index coupon_run on coupon (enrollment_id) where enrollment_id is not null;

-- Claims for which the pool had no code: a replay decides as it was decided then.
create table coupon_missed (
    claim         uuid        primary key,
    pool          text        not null,
    enrollment_id uuid        not null,
    at            timestamptz not null
);
create index coupon_missed_pool on coupon_missed (pool, at);
create index coupon_missed_run on coupon_missed (enrollment_id);
