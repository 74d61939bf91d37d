"""Row-level security is a second wall: with one tenant set, a connection of ours meets nothing of the other.

The lists come from the catalog: a table or function that is added tomorrow is under these tests tomorrow.
"""

from collections.abc import Generator

import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from store.tables import RunRow
from tests.conftest import DatabaseAddresses
from tests.tenants.twins import NORTH, SHARED, SOUTH, Connection, connected, make_twins, tables_of

pytestmark = pytest.mark.req("I5")

DISPATCHED = {
    ("inbox", "SELECT"), ("inbox", "UPDATE"), ("votes", "SELECT"), ("votes", "UPDATE"), ("commands", "SELECT"),
    ("commands", "UPDATE"), ("revocations", "SELECT"), ("pauses", "SELECT"), ("switches", "SELECT"),
    ("agent_states", "SELECT"),
}  # fmt: skip
"""All that the dispatchers, who see every tenant, may do."""


@pytest.fixture(scope="module")
def twins(module_database: DatabaseAddresses) -> DatabaseAddresses:
    make_twins(module_database.owner_url)
    return module_database


@pytest.fixture(scope="module")
def guarded(twins: DatabaseAddresses) -> list[str]:
    with connected(twins.owner_url) as owner:
        return [table["name"] for table in tables_of(owner) if table["has_tenant"]]


@pytest.fixture
def ours(twins: DatabaseAddresses) -> Generator[Connection]:
    """A connection as a worker has it, in a transaction of the tenant north; rolled back at the end."""
    with connected(twins.url, options="-c role=countersign_app") as connection:
        connection.execute("select set_config('countersign.tenant', %s, true)", (NORTH,))
        yield connection
        connection.rollback()


def ask(connection: Connection, statement: str, table: str, *values: object) -> int:
    """A count, or how many rows a statement met."""
    cursor = connection.execute(sql.SQL(statement).format(sql.Identifier(table)), values)  # pyright: ignore[reportArgumentType] - a constant of this file
    row = cursor.fetchone() if cursor.description else None
    return int(row["n"]) if row else cursor.rowcount


def test_every_table_is_guarded_or_known_to_have_no_tenants(twins: DatabaseAddresses) -> None:
    with connected(twins.owner_url) as owner:
        tables = tables_of(owner)
    assert {table["name"] for table in tables if not table["has_tenant"]} == SHARED
    assert [
        table["name"] for table in tables if table["has_tenant"] and not (table["guarded"] and table["forced"])
    ] == []
    assert {table["name"] for table in tables} >= set(RunRow.metadata.tables)


def test_a_tenant_sees_its_own_rows_and_none_of_the_others(guarded: list[str], ours: Connection) -> None:
    assert len(guarded) >= 25
    for table in guarded:
        assert (table, ask(ours, "select count(*) as n from {} where tenant = %s", table, NORTH)) == (table, 1)
        assert (table, ask(ours, "select count(*) as n from {} where tenant <> %s", table, NORTH)) == (table, 0)


def test_without_a_tenant_nothing_is_seen(guarded: list[str], ours: Connection) -> None:
    for nobody in ("", "nobody", "*", "%", "north' or '1'='1"):
        ours.execute("select set_config('countersign.tenant', %s, true)", (nobody,))
        for table in guarded:
            assert (table, nobody, ask(ours, "select count(*) as n from {}", table)) == (table, nobody, 0)


@pytest.mark.parametrize("statement", ["update {} set tenant = tenant where tenant = 'south'",
                                       "delete from {} where tenant = 'south'"])  # fmt: skip
def test_a_tenant_changes_no_row_of_another(statement: str, guarded: list[str], ours: Connection) -> None:
    for table in guarded:
        try:
            with ours.transaction():
                assert (table, ask(ours, statement, table)) == (table, 0)
        except errors.InsufficientPrivilege:
            continue


def test_a_tenant_moves_and_writes_no_row_into_another(guarded: list[str], ours: Connection) -> None:
    for table in guarded:
        with pytest.raises(errors.InsufficientPrivilege), ours.transaction():
            ask(ours, "insert into {} (tenant) values ('south')", table)
        with pytest.raises(errors.InsufficientPrivilege), ours.transaction():
            ask(ours, "update {} set tenant = 'south'", table)


@pytest.mark.parametrize(
    "statement",
    [
        "set role postgres", "set session authorization postgres", "alter role countersign_app bypassrls",
        "grant countersign_dispatch to countersign_app", "alter table runs disable row level security",
        "alter table audit disable trigger append_only", "drop policy tenant_wall on runs", "drop table audit",
        "create policy more on runs using (true)", "truncate audit", "create table public.mine (x int)",
        "create or replace function take_tenant(p_tenant text) returns void language sql as 'select 1'",
        "update audit set body = '{}'", "delete from audit", "update messages set content = ''", "delete from messages",
        "set session_replication_role = replica", "copy runs to program 'cat'", "select pg_read_file('/etc/passwd')",
    ],
)  # fmt: skip
def test_our_login_cannot_step_over_the_wall(statement: str, ours: Connection) -> None:
    with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedObject, errors.InvalidParameterValue)):
        ours.execute(statement.encode())


def test_switching_row_security_off_is_an_error_and_no_view(ours: Connection) -> None:
    ours.execute("set local row_security = off")
    with pytest.raises(errors.InsufficientPrivilege):
        ours.execute("select * from runs")


def test_our_roles_and_login_own_nothing_and_pass_nothing(twins: DatabaseAddresses) -> None:
    with connected(twins.owner_url) as owner:
        login = conninfo_to_dict(twins.url)["user"]
        roles = owner.execute(
            "select rolname from pg_roles where rolname = any(%s) and (rolsuper or rolbypassrls or rolcreaterole"
            " or rolcreatedb or rolreplication)",
            (["countersign_app", "countersign_dispatch", login],),
        ).fetchall()
        assert roles == []
        owned = owner.execute(
            "select c.relname from pg_class c join pg_roles r on r.oid = c.relowner where r.rolname = any(%s)",
            (["countersign_app", "countersign_dispatch", login],),
        ).fetchall()
        assert owned == []
        allowed = owner.execute(
            "select table_name, privilege_type from information_schema.role_table_grants"
            " where grantee = 'countersign_dispatch' and table_schema = 'public'"
        ).fetchall()
    assert {(row["table_name"], row["privilege_type"]) for row in allowed} == DISPATCHED


def test_no_function_runs_with_the_rights_of_its_owner(twins: DatabaseAddresses) -> None:
    with connected(twins.owner_url) as owner:
        found = owner.execute(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef"
        ).fetchall()
    assert found == []


def test_a_function_that_is_asked_about_another_tenant_refuses_or_finds_nothing(
    twins: DatabaseAddresses, ours: Connection
) -> None:
    """A slip of the caller: the transaction is of north, the argument says south."""
    with connected(twins.owner_url) as owner:
        functions = owner.execute(
            "select proname as name, proargtypes::regtype[]::text[] as types, prolang = (select oid from pg_language"
            " where lanname = 'plpgsql') as procedural, prosrc ~ 'take_tenant|set_config' as sets from pg_proc"
            " where pronamespace = 'public'::regnamespace and proargnames[1] = 'p_tenant' and prokind = 'f'"
        ).fetchall()
    assert len(functions) >= 30
    setting = [function["name"] for function in functions if function["sets"]]
    assert len(setting) >= 20
    for function in functions:
        name, others = function["name"], function["types"][1:]
        arguments = sql.SQL(", ").join(
            [sql.SQL("'south'"), *(sql.SQL("null::" + kind) for kind in others)]  # types from the catalog
        )
        statement = sql.SQL("select * from {}({}) as found").format(sql.Identifier(name), arguments)
        if function["sets"]:
            with pytest.raises(errors.InsufficientPrivilege, match="of tenant north"), ours.transaction():
                ours.execute(statement)
        else:
            try:
                with ours.transaction():
                    rows = ours.execute(statement).fetchall()
                assert SOUTH not in str(rows), name
            except (errors.InsufficientPrivilege, errors.NotNullViolation, errors.ProgrammingError, errors.DataError):
                pass  # refused to write, or cannot run on nothing at all
        current = ours.execute("select current_setting('countersign.tenant', true) as tenant").fetchone()
        assert current == {"tenant": NORTH}, f"{name} leaves the transaction in another tenant"
