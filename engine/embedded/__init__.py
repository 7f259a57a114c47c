"""PostgreSQL and Redis that Winback brings along and runs itself, and their supervisor."""
