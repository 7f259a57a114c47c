-- The gate asks for each shopper whether anything in the inbox names them. One index for each
-- place in the list of identifiers answers that however long the backlog is; a GIN index over the
-- whole list would cost the collector a quarter of its inserts.
drop index inbox_links;
create index inbox_second on inbox ((identifiers[2])) where identifiers[2] is not null;
create index inbox_third on inbox ((identifiers[3])) where identifiers[3] is not null;
create index inbox_fourth on inbox ((identifiers[4])) where identifiers[4] is not null;
create index inbox_more on inbox (seq) where cardinality(identifiers) > 4;
