-- A list at an ad platform that is rebuilt from what is wanted. It is carried on by whichever
-- process has the audience, and stays as the record of who asked for it and what came of it.
create table audience_replace (
    id       uuid        primary key,
    audience text        not null,
    reason   text        not null,
    asked_at timestamptz not null,
    status   text        not null,               -- asked, adding, ending, done, failed
    since    timestamptz,                        -- who was last added before then is to go
    session  uuid        not null,               -- the platform's session, a new one at each try
    part     integer     not null default 0,     -- parts of it that were claimed
    request  uuid,                               -- the last call of it
    members  bigint      not null default 0,
    tries    smallint    not null default 0,
    ended_at timestamptz,
    detail   text        not null default ''
);
create unique index audience_replace_open on audience_replace (audience)
    where status in ('asked', 'adding', 'ending');
create index audience_replace_asked on audience_replace (audience, asked_at);
