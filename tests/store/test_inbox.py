"""The inbox's statements over a real Postgres, as the roles that the processes have."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import psycopg.errors
import pytest

from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent
from settings.tenants import TenantsFile
from store.agents import ensure_agent_states
from store.database import Database
from store.inbox import Arrival, Conflict, Duplicate, Stored, accept, claim, entries, mark_started, postpone
from tests.conftest import DatabaseAddresses


def arrival(event_id: str = "evt-1", tenant: str = "acme", **data: str) -> Arrival:
    event = AcceptedEvent(id=event_id, source="/helpdesk", type="ticket.created", data=dict(data))
    return Arrival(
        tenant=tenant,
        endpoint="tickets",
        event=event,
        agent="support_refund",
        run_id=run_id_for(tenant, "tickets", event.key),
        on_behalf_of=None,
    )


@pytest.fixture
async def store(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_app") as opened:
        yield opened


@pytest.fixture
async def waiting(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_dispatch") as opened:
        yield opened


@pytest.mark.req("E2")
async def test_of_many_at_once_one_is_stored(store: Database) -> None:
    results = await asyncio.gather(*(accept(store, arrival(ticket="A")) for _ in range(40)))
    assert Counter(type(result) for result in results) == {Stored: 1, Duplicate: 39}


@pytest.mark.req("E2")
async def test_of_contradicting_ones_at_once_one_is_stored(store: Database) -> None:
    results = await asyncio.gather(*(accept(store, arrival(ticket=str(number))) for number in range(8)))
    assert Counter(type(result) for result in results) == {Stored: 1, Conflict: 7}


async def test_trusted_fields_are_not_part_of_the_body(store: Database) -> None:
    assert isinstance(await accept(store, arrival(ticket="A")), Stored)
    first = arrival(ticket="A")
    relabelled = first.model_copy(update={"event": first.event.model_copy(update={"trusted": ("ticket",)})})
    assert isinstance(await accept(store, relabelled), Duplicate)


@pytest.mark.req("E3")
async def test_tenants_do_not_see_each_other(store: Database, waiting: Database) -> None:
    for tenant in ("acme", "globex"):
        assert isinstance(await accept(store, arrival(tenant=tenant)), Stored)
    assert [entry.tenant for entry in await entries(store, "acme", state=None, most=10)] == ["acme"]
    assert {row.tenant for row in await claim(waiting, most=10, lease_s=30)} == {"acme", "globex"}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with store.tenant("acme") as cursor:
            await cursor.execute(
                "insert into inbox (tenant, endpoint, event_id, body_digest, event, agent, run_id)"
                " values ('globex', 'e', 'i', 'd', '{}', 'a', 'r')"
            )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with waiting.everywhere() as cursor:
            await cursor.execute("select * from runs")


async def test_started_rows_stay_started(store: Database, waiting: Database) -> None:
    await accept(store, arrival())
    (row,) = await claim(waiting, most=10, lease_s=30)
    await mark_started(waiting, row)
    # A slower dispatcher, whose lease ran out, comes too late.
    await postpone(waiting, row, delay_s=0, error="too late")
    (entry,) = await entries(store, "acme", state=None, most=10)
    assert (entry.state, entry.last_error) == ("started", "")
    assert await claim(waiting, most=10, lease_s=30) == []


async def test_oldest_due_rows_come_first(store: Database, waiting: Database) -> None:
    for number in range(5):
        await accept(store, arrival(f"evt-{number}"))
    first = await claim(waiting, most=2, lease_s=30)
    assert {row.event_id for row in first} == {"/helpdesk#evt-0", "/helpdesk#evt-1"}
    assert {row.attempts for row in first} == {1}


async def test_agents_get_their_first_state_once(store: Database) -> None:
    tenants = TenantsFile.model_validate(
        {"tenants": {"acme": {"name": "Acme", "agents": {"one": {"stage": "drafts", "tier_ceiling": 2}}}}}
    )
    assert await ensure_agent_states(store, tenants) == ["acme/one"]
    async with store.tenant("acme") as cursor:
        await cursor.execute("update agent_states set stage = 'off', version = version + 1")
    assert await ensure_agent_states(store, tenants) == []
    async with store.tenant("acme") as cursor:
        await cursor.execute("select agent, stage, enabled, tier_ceiling, version from agent_states")
        row = await cursor.fetchone()
    assert row == {"agent": "one", "stage": "off", "enabled": True, "tier_ceiling": 2, "version": 2}
