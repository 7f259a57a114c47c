"""PostgreSQL: the only place where anything is true. One module per aggregate, SQL as SQL."""
