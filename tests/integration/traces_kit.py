"""Looking for somebody in every column of every table of the database."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from engine.store.database import Database

_TEXTUAL = ("text", "character varying", "character", "json", "jsonb", "bytea", "ARRAY", "name")


def traces(database: Database, *needles: str) -> list[tuple[str, str, str]]:
    """(table, column, needle) wherever one of ``needles`` stands in a text, JSON, array or byte
    column, in any spelling of its letters."""
    return [
        (table, column, needle)
        for table, column, type in _columns(database)
        if type in _TEXTUAL
        for needle in needles
        if _holds(database, table, column, type, needle)
    ]


def numbered(database: Database, number: int) -> list[tuple[str, str]]:
    """(table, column) wherever that number stands by itself: a profile's id."""
    found = []
    with database.connection() as connection:
        for table, column, type in _columns(database):
            if type == "bigint":
                query = sql.SQL("select count(*) from {} where {} = %s").format(
                    sql.Identifier(table), sql.Identifier(column)
                )
                row = connection.execute(query, [number]).fetchone()
                if row is not None and row[0]:
                    found.append((table, column))
    return found


def _columns(database: Database) -> Iterable[tuple[str, str, str]]:
    with database.connection() as connection:
        return connection.execute(
            """
            select table_name, column_name, data_type
              from information_schema.columns join information_schema.tables
                   using (table_schema, table_name)
             where table_schema = 'public' and table_type = 'BASE TABLE'
             order by table_name, ordinal_position
            """
        ).fetchall()


def _holds(database: Database, table: str, column: str, type: str, needle: str) -> bool:
    value = sql.SQL("encode({}, 'escape')" if type == "bytea" else "({})::text").format(
        sql.Identifier(column)
    )
    query = sql.SQL("select exists (select from {} where position(%s in lower({})) > 0)").format(
        sql.Identifier(table), value
    )
    with database.connection() as connection:
        row = connection.execute(query, [needle.lower()]).fetchone()
    return row is not None and bool(row[0])
