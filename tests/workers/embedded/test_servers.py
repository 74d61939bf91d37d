"""The embedded servers are what production expects: an ordinary login, kept histories, known search attributes."""

import psycopg
import pytest
from temporalio.client import Client

from store.database import Database
from tests.conftest import DatabaseAddresses
from workers.embedded.namespace import missing_search_attributes, retention_days
from workers.embedded.temporal import RETENTION_DAYS


def test_the_login_of_our_processes_cannot_pass_row_level_security(database: DatabaseAddresses) -> None:
    with psycopg.connect(database.url, options="-c role=countersign_app") as connection:
        row = connection.execute(
            "select current_user, session_user, rolsuper, rolbypassrls from pg_roles where rolname = session_user"
        ).fetchone()
    assert row == ("countersign_app", "countersign_login", False, False)


def test_the_login_without_a_role_sees_nothing(database: DatabaseAddresses) -> None:
    with psycopg.connect(database.url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select 1 from runs")


async def test_the_store_works_on_it(database: DatabaseAddresses) -> None:
    async with Database(database.url, role="countersign_app") as store, store.tenant("acme") as cursor:
        await cursor.execute("select count(*) as n from runs")
        assert await cursor.fetchone() == {"n": 0}


def test_each_test_has_its_own_database(database: DatabaseAddresses, module_database: DatabaseAddresses) -> None:
    assert database.url != module_database.url


async def test_the_namespace_keeps_histories(temporal_client: Client) -> None:
    assert await retention_days(temporal_client) == RETENTION_DAYS
    assert await missing_search_attributes(temporal_client) == ()
