-- Who has just said no to ads, for the look after every transaction of the workers.
create index consent_no_ads_at on consent (at) where channel = 'ads' and not granted;
