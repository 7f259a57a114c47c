-- An outcome that nobody knows is not looked for for ever: after a while the message is closed as
-- 'unresolved'. What its provider reports after that settles it all the same.
create index message_open on message (claimed_at) where status = 'unknown';
drop index message_unknown;
create index message_unknown on message ((id::text))
    where status in ('unknown', 'unresolved')
       or (status = 'due' and on_unknown = 'retry' and attempts > 0);

-- Now and then a message that a provider is known to have. A list that holds such a one, of later,
-- and not the message that is looked for, is believed; an empty one proves nothing, for it is also
-- what a key without the right to read it is shown.
create table known_taken (
    provider   text        not null,
    at         timestamptz not null,
    profile_id bigint      not null,
    message_id uuid        not null,
    primary key (provider, at)
);
