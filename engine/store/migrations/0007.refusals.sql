-- Each time that a message might not go: put off (waits) or given up, and the stable code of the
-- reason (engine/core/refusals.py). A message that waits for the morning is sent then and keeps
-- nothing of it, so the count is kept here.
create table refusal (
    profile_id bigint      not null,
    message_id uuid        not null,
    at         timestamptz not null,
    journey    text        not null,
    step       text        not null,
    channel    text        not null,
    topic      text        not null,
    code       text        not null,
    waits      boolean     not null
);
create index refusal_at on refusal (at);
create index refusal_profile on refusal (profile_id);
