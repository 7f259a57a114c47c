-- Whom an event named, kept with it. Profiles merge, and their events with them; only this tells
-- the audit which of two shoppers an event was known to belong to when a message went (P3, P5).
alter table event add column identifiers text[] not null default '{}';
