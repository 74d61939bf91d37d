"""What tells a repetition from a first time is kept: nothing may remove it, so nothing can come too late for it."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("T4")
KEPT = {
    "approval_requests", "audit", "commands", "definitions", "effects", "inbox", "journal", "messages", "run_state",
    "runs", "undo_orders", "votes",
}  # fmt: skip
"""Events by source and id, runs, their journal, ledger, votes, orders: looked up when something comes again."""

_MAY_REMOVE = """
select table_name, grantee, privilege_type from information_schema.table_privileges
where table_schema = 'public' and privilege_type in ('DELETE', 'TRUNCATE') and grantee like 'countersign%'"""
_BODIES = (
    "select proname, prosrc from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public'"
)
_REMOVING = """
select conrelid::regclass::text as source, confrelid::regclass::text as target from pg_constraint
where contype = 'f' and confdeltype in ('c', 'n', 'd')"""


@pytest.fixture
def owner(database: DatabaseAddresses) -> Iterator[psycopg.Connection[DictRow]]:
    with psycopg.Connection[DictRow].connect(database.owner_url, row_factory=dict_row) as connection:
        yield connection


def test_no_role_may_remove_what_deduplicates(owner: psycopg.Connection[DictRow]) -> None:
    removable = {row["table_name"] for row in owner.execute(_MAY_REMOVE).fetchall()}
    assert removable.isdisjoint(KEPT), removable & KEPT
    tables = {row["relname"] for row in owner.execute("select relname from pg_class where relkind = 'r'").fetchall()}
    assert tables >= KEPT


def test_no_function_and_no_cascade_removes_it(owner: psycopg.Connection[DictRow]) -> None:
    for row in owner.execute(_BODIES).fetchall():
        text = " ".join(row["prosrc"].lower().split())
        for table in KEPT:
            assert f"delete from {table} " not in text, row["proname"]  # noqa: S608 - names of this file
            assert f"truncate {table}" not in text, row["proname"]
    assert owner.execute(_REMOVING).fetchall() == []


def test_the_application_is_refused(database: DatabaseAddresses) -> None:
    with psycopg.connect(database.url, options="-c role=countersign_app", autocommit=True) as connection:
        for table in sorted(KEPT):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
