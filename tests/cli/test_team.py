"""`countersign migrate` and `namespace` prepare servers of one's own, again and again, and say what is wrong."""

import uuid

import psycopg
import pytest

from tests.cli.test_main import countersign
from tests.conftest import DatabaseAddresses


@pytest.fixture
def own_database(database: DatabaseAddresses, monkeypatch: pytest.MonkeyPatch) -> DatabaseAddresses:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_MIGRATION_DATABASE_URL", database.owner_url)
    return database


def test_migrate_gives_agents_their_first_state_once(own_database: DatabaseAddresses) -> None:
    first, again = countersign("migrate"), countersign("migrate")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert "acme/support_refund: starts as the tenants' file says" in first.stdout
    assert "starts as" not in again.stdout
    with psycopg.connect(own_database.owner_url) as connection:
        rows = connection.execute("select tenant, agent, changed_by from agent_states").fetchall()
    assert rows == [("acme", "support_refund", "tenants file")]


def test_migrate_says_when_the_database_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    done = countersign("migrate", "--wait", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the database cannot be used: ")
    assert done.stderr.count("\n") == 1


def test_namespace_is_made_where_there_is_none(temporal_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"runs-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", temporal_address)
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_NAMESPACE", name)
    first = countersign("namespace")
    assert first.returncode == 0, first.stderr
    assert "search attributes TenantId, AgentName, RunOutcome" in first.stdout
    again = countersign("namespace")
    assert "nothing was missing" in again.stdout


def test_namespace_says_when_temporal_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", "127.0.0.1:1")
    done = countersign("namespace", "--wait", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Temporal cannot be used: ")
