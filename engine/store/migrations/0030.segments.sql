-- The segments in force, as the clock last read them from config/segments. What decides about one
-- is all in source, so that every worker decides by the same definition, whatever lies on its disk.
create table segment (
    name       text        primary key,
    version    text        not null,            -- '' once the file is gone: to be cleared away
    title      text        not null,
    source     text        not null,
    scored     boolean     not null,            -- asks for RFM scores
    scale      jsonb,                           -- where the fifths of all buyers begin
    scaled_at  timestamptz,
    place      bigint,                          -- a search has come so far; null: none under way
    quiet      boolean     not null,            -- whom it finds have not entered by it, nor left
    changed_at timestamptz not null,
    changed_xid xid8       not null,            -- decided by what was before: only older ones
    filled_at  timestamptz
);

-- Where a shopper stands: only those who are in, were in, or will be by time alone. Read for the
-- shoppers of a batch, so the profile comes first.
create table segment_member (
    profile_id bigint      not null,
    segment    text        not null,
    member     boolean     not null,
    since      timestamptz,                     -- the last change; null: there was none
    look_at    timestamptz,                     -- when time alone may change it next
    primary key (profile_id, segment)
);
create index segment_member_of on segment_member (segment, profile_id) where member;
create index segment_member_look on segment_member (look_at) where look_at is not null;

-- Who came and went, by the shop's days. One row per writer, as in the ledger, so that no two
-- workers wait for each other's. other: by a new definition, a merge or a repair.
create table segment_day (
    segment text     not null,
    day     date     not null,
    writer  text     not null,                  -- 'lane:3', 'look', 'fill'
    entered integer  not null default 0,
    "left"  integer  not null default 0,
    other   integer  not null default 0,
    primary key (segment, day, writer)
);

-- Static lists: config/segments/lists, one row a line.
create table segment_list (
    list       text not null,
    identifier text not null,
    primary key (identifier, list)
);
create index segment_list_of on segment_list (list);
