"""Uses of a standing approval are counted where calls are admitted: exactly, whoever comes at once, until it ends."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from contracts.base import JsonObject
from store.database import Database
from store.journal import Admission, CallKey
from store.standing import StandingNotAllowed, find_standing, revoke_standing, uses_of
from tests.conftest import DatabaseAddresses
from tests.store.actors import WRITE
from tests.store.ledger_world import AGENT, AMOUNT_MINOR, TENANT, World, day_limits, new_run

pytestmark = pytest.mark.req("A9", "T6")

STANDING = "sta-" + "a" * 26
DIGEST = "sha256:" + "a" * 64
MANY = 12


@pytest.fixture
async def world(module_database: DatabaseAddresses) -> AsyncIterator[World]:
    """Runs, and a standing approval whose votes nobody asks for here: the gate verifies them before admission."""
    async with (
        Database(module_database.url, role="countersign_app", max_connections=20) as db,
        AsyncConnectionPool[Any](module_database.owner_url, open=False, kwargs={"autocommit": True}) as owner,
    ):
        world = World(db, owner, [await new_run(db) for _ in range(MANY)])
        async with owner.connection() as connection:
            await connection.execute("truncate standing_approvals, standing_uses, counters, effects")
        async with db.tenant(TENANT) as cursor:
            await cursor.execute(
                """insert into standing_approvals (tenant, standing_id, agent, tool, terms, digest, state, proposed_by,
                       decide_until, until, decided_at)
                   values (%s, %s, %s, %s, '{}', %s, 'granted', 'fay', now(), now() + interval '1 day', now())""",
                (TENANT, STANDING, AGENT, WRITE, DIGEST),
            )
        yield world


async def used(world: World) -> int:
    async with world.db.tenant(TENANT) as cursor:
        return (await find_standing(cursor, TENANT, STANDING)).uses


def counted(number: int, **changes: int | str) -> JsonObject:
    return {
        "standing_id": STANDING, "digest": DIGEST, "number": number, "max_uses": 100, "total_minor": 1_000_000,
        "until_s": 4_000_000_000, "amount_minor": AMOUNT_MINOR, **changes,
    }  # fmt: skip


async def admitted(world: World, run_id: str, *, step: int = 1, **changes: int | str) -> Admission | None:
    """Admit a call as the gate does: as the next use, again when another was quicker. None: it holds no longer."""
    key = CallKey(TENANT, run_id, step, 0, 1)
    while True:
        async with world.db.tenant(TENANT) as cursor:
            standing = await find_standing(cursor, TENANT, STANDING)
        most = int(changes.get("max_uses", 100))
        left = int(changes.get("total_minor", 1_000_000)) - standing.moved_minor
        if standing.state != "granted" or standing.uses >= most or left < AMOUNT_MINOR:
            return None
        loaded = await world.load(key, WRITE)
        admission = await world.admit(
            key, WRITE, loaded, deed=f"{run_id}/{step}", standing=counted(standing.uses + 1, **changes)
        )
        if (admission.kind, admission.detail) != ("stale", "standing"):
            return admission


async def test_a_burst_never_has_more_uses_or_money_than_was_agreed(world: World) -> None:
    found = await asyncio.gather(*(admitted(world, run_id, max_uses=5) for run_id in world.runs))
    assert Counter(one.kind for one in found if one) == {"admitted": 5}
    async with world.db.tenant(TENANT) as cursor:
        assert [use.number for use in await uses_of(cursor, TENANT, STANDING)] == [5, 4, 3, 2, 1]
    more = (5 + 2) * AMOUNT_MINOR + AMOUNT_MINOR // 2
    found = await asyncio.gather(*(admitted(world, run_id, step=2, total_minor=more) for run_id in world.runs))
    assert Counter(one.kind for one in found if one) == {"admitted": 2}


async def test_what_is_not_admitted_for_another_reason_is_no_use(world: World) -> None:
    world.limits = day_limits(money_max=AMOUNT_MINOR)
    first, second = world.runs[:2]
    assert (found := await admitted(world, first)) is not None
    assert found.kind == "admitted"
    assert (found := await admitted(world, second)) is not None
    assert found.kind == "limit"
    assert await used(world) == 1


async def test_another_attempt_at_a_call_is_the_same_use(world: World) -> None:
    run_id = world.runs[0]
    assert (await admitted(world, run_id)) is not None
    key = CallKey(TENANT, run_id, 1, 0, 2)
    again = await world.admit(key, WRITE, await world.load(key, WRITE), deed=f"{run_id}/1", standing=counted(1))
    assert again.kind == "admitted"
    other = await world.admit(key, WRITE, await world.load(key, WRITE), deed=f"{run_id}/1", standing=counted(2))
    assert (other.kind, other.detail) == ("stale", "standing")
    assert await used(world) == 1


@pytest.mark.parametrize(
    "changes",
    [{"digest": "sha256:" + "b" * 64}, {"until_s": 1}, {"standing_id": "sta-" + "b" * 26}, {"number": 2}],
)
async def test_what_does_not_hold_any_more_admits_nothing(world: World, changes: dict[str, int | str]) -> None:
    key = CallKey(TENANT, world.runs[0], 1, 0, 1)
    loaded = await world.load(key, WRITE)
    found = await world.admit(key, WRITE, loaded, deed="once", standing={**counted(1), **changes})
    assert (found.kind, found.detail) == ("stale", "standing")
    assert await used(world) == 0
    assert await world.rows("effects", world.runs[0]) == []


async def test_nothing_is_admitted_after_a_revocation_has_committed(world: World) -> None:
    """Calls and the revocation race; whoever read before it and is admitted after it would be counted after it."""
    at_the_end: list[int] = []
    early = [await admitted(world, run_id) for run_id in world.runs[:3]]

    async def revoked() -> None:
        async with world.db.tenant(TENANT) as cursor:
            await revoke_standing(cursor, TENANT, STANDING, person="lena", reason="They were found.")
        at_the_end.append(await used(world))

    late, _ = await asyncio.gather(asyncio.gather(*(admitted(world, run_id) for run_id in world.runs[3:])), revoked())
    assert at_the_end == [await used(world)] == [sum(one is not None for one in (*early, *late))]
    assert await admitted(world, world.runs[0], step=3) is None
    key = CallKey(TENANT, world.runs[0], 4, 0, 1)
    stale = await world.admit(key, WRITE, await world.load(key, WRITE), deed="late", standing=counted(100))
    assert (stale.kind, stale.detail) == ("stale", "standing")
    async with world.db.tenant(TENANT) as cursor:
        with pytest.raises(StandingNotAllowed, match="revoked already"):
            await revoke_standing(cursor, TENANT, STANDING, person="lena", reason="Again.")


async def test_another_tenant_neither_sees_nor_uses_it(world: World) -> None:
    async with world.db.tenant("globex") as cursor:
        with pytest.raises(StandingNotAllowed, match="there is no such"):
            await find_standing(cursor, TENANT, STANDING)
        await cursor.execute("select count(*) as n from standing_approvals")
        assert await cursor.fetchone() == {"n": 0}
