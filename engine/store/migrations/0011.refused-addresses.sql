-- depends: 0010.receipts

-- Shoppers who gave an address that is none, which `winback rejected` counts.
create index profile_refused on profile (id)
 where traits ?| array['refused_email', 'refused_phone'];
