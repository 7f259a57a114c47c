-- What a consent is worth is its proof: every decision as it was made, kept for good.
alter table consent
    add column confirmed_at timestamptz,        -- double opt-in: the address's owner said yes
    add column denied_at    timestamptz,        -- the last no, even where a yes came later
    add column until        timestamptz;        -- a pause ends
update consent set denied_at = at where not granted;

-- Only ever added to; the row in consent is what all of a place come to. profile_id follows merges.
create table consent_log (
    profile_id  bigint      not null,
    event_id    text        not null,           -- the event that it was said with
    channel     text        not null,
    topic       text        not null,
    word        text        not null,           -- yes, confirmed, no, stop, start, pause, resume
    at          timestamptz not null,
    recorded_at timestamptz not null,
    method      text        not null,           -- form, double opt-in, keyword, one-click, …
    source      text        not null,
    identifier  text        not null,           -- whom the event named first
    proof       jsonb       not null default '{}',
    primary key (profile_id, event_id, channel, topic)
);

create function consent_log_is_kept() returns trigger language plpgsql as
$$ begin raise exception 'consent_log is only added to'; end $$;

create trigger consent_log_is_kept
    before update of event_id, channel, topic, word, at, recorded_at, method, source, identifier, proof
    on consent_log for each row execute function consent_log_is_kept();

alter table message add column basis text not null default '';  -- lawful basis when it was claimed
