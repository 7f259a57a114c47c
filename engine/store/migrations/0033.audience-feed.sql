-- Lists that segments feed, and who has come into such a segment or left it since the list was last
-- told. Written by a trigger, so that whoever writes memberships, and however, cannot forget it;
-- emptied by the transaction that takes it over, never read by a cursor.
create table audience_feed (
    audience   text        primary key,
    segment    text        not null,
    after      xid8,                            -- older transactions may not know of this row
    checked_at timestamptz                      -- when all members were last looked at
);
create table audience_moved (
    audience   text        not null,
    profile_id bigint      not null,
    member     boolean     not null             -- what they have become
);
create index audience_moved_next on audience_moved (audience, member);

create function audience_moves() returns trigger language plpgsql as $$
begin
    if not exists (select from audience_feed) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into audience_moved (audience, profile_id, member)
        select f.audience, n.profile_id, true
          from new_rows n join audience_feed f on f.segment = n.segment where n.member;
    elsif tg_op = 'DELETE' then
        insert into audience_moved (audience, profile_id, member)
        select f.audience, o.profile_id, false
          from old_rows o join audience_feed f on f.segment = o.segment where o.member;
    else
        -- Grouped, not joined: a plan made for ten rows must not meet a million.
        insert into audience_moved (audience, profile_id, member)
        select f.audience, x.profile_id, bool_or(x.member and x.fresh)
          from (select segment, profile_id, member, false as fresh from old_rows
                union all select segment, profile_id, member, true from new_rows) x
          join audience_feed f on f.segment = x.segment
         group by f.audience, x.segment, x.profile_id
        having bool_or(x.member) <> bool_and(x.member) or count(*) <> 2;
    end if;
    return null;
end $$;

create trigger segment_member_came after insert on segment_member
    referencing new table as new_rows for each statement execute function audience_moves();
create trigger segment_member_moved after update on segment_member
    referencing old table as old_rows new table as new_rows
    for each statement execute function audience_moves();
create trigger segment_member_went after delete on segment_member
    referencing old table as old_rows for each statement execute function audience_moves();
