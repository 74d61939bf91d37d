"""Two tenants with the same rows in every table: whatever the catalog lists, so that no new table can be forgotten."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

__all__ = ["NORTH", "SHARED", "SOUTH", "connected", "make_twins", "tables_of"]

NORTH, SOUTH = "north", "south"
SHARED = frozenset({"alembic_version", "credential_keys", "vote_keys"})
"""Tables without tenants: the form of the database, and public keys."""

_TABLES = """
select c.relname as name, c.relrowsecurity as guarded, c.relforcerowsecurity as forced,
    exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant' and not a.attisdropped)
        as has_tenant
from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1"""
_COLUMNS = """
select a.attname as name, format_type(a.atttypid, null) as type from pg_attribute a
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped and a.attnotnull and a.attidentity = ''
    and a.attgenerated = '' and a.attname <> 'tenant'"""
_CHECKS = """
select conname as name, conrelid::regclass::text as owner from pg_constraint
where contype = 'c' and connamespace = 'public'::regnamespace and conrelid <> 0"""
_VALUES: Mapping[str, Any] = {
    "text": "same", "character varying": "same", "integer": 1, "bigint": 1, "smallint": 1, "boolean": False,
    "json": "{}", "jsonb": "{}", "bytea": b"same", "timestamp with time zone": "2026-11-01T00:00:00Z",
    "date": "2026-11-01", "double precision": 1.0, "numeric": 1, "uuid": "00000000-0000-0000-0000-000000000001",
}  # fmt: skip


Connection = psycopg.Connection[dict[str, Any]]


def connected(url: str, *, options: str = "", autocommit: bool = False) -> Connection:
    """A connection whose rows have names."""
    return psycopg.Connection[dict[str, Any]].connect(url, row_factory=dict_row, options=options, autocommit=autocommit)


def tables_of(owner: Connection) -> list[dict[str, Any]]:
    """Every relation of ours, and how it is guarded."""
    return owner.execute(_TABLES).fetchall()


def make_twins(owner_url: str) -> None:
    """Write one row for each of the two tenants into every table, alike in everything but the tenant.

    That this is possible shows that every key begins with the tenant. What a row means does not matter here, so checks
    and foreign keys are put aside.
    """
    with connected(owner_url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        for check in owner.execute(_CHECKS).fetchall():
            owner.execute(sql.SQL("alter table {} drop constraint {}").format(
                sql.Identifier(check["owner"]), sql.Identifier(check["name"])))  # fmt: skip
        for table in tables_of(owner):
            if not table["has_tenant"]:
                continue
            columns = owner.execute(_COLUMNS, (table["name"],)).fetchall()
            names = [sql.Identifier("tenant"), *(sql.Identifier(column["name"]) for column in columns)]
            values = ["{}" if column["type"].endswith("[]") else _VALUES[column["type"]] for column in columns]
            statement = sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(table["name"]), sql.SQL(", ").join(names),
                sql.SQL(", ").join(sql.Placeholder() for _ in names),
            )  # fmt: skip
            for tenant in (NORTH, SOUTH):
                owner.execute(statement, (tenant, *values))
