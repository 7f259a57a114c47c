-- What a person or Winback pauses can be a sender too, the address or number that a message comes
-- from, and the rates are counted for it.
alter table message
    -- known when it is claimed, for only the rendered message tells it
    add column sender text not null default '';

-- The reports of a provider are counted by sender, 'carried:PROVIDER:SENDER', and both are sums of
-- these rows: what a sender has done that is paused is not held against its provider.
update report_hour set subject = 'carried:' || substr(subject, 10) || ':'
 where subject like 'provider:%';
