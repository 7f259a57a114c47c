"""Everything that becomes an event, up to the moment it is committed to the inbox."""
