"""Kill switches on the real store: nothing after the commit, whatever races; receipts; tenants; pauses."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from contracts.canonical import opaque_id
from contracts.pause import PauseRun
from contracts.pause_state import OpenPause
from store.database import Database
from store.effects import start_effect
from store.journal import CallKey
from store.model_calls import reserve_model_call
from store.pauses import freed_pauses, halted_by, keep_pause, open_pauses
from store.switches import (
    EVERYBODY,
    Thrown,
    find_switch,
    list_switches,
    receipts_of,
    release_switch,
    throw_switch,
    under_way,
)
from tests.conftest import DatabaseAddresses
from tests.store.actors import READ, WRITE
from tests.store.ledger_world import AGENT, BOUNDS, TENANT, World, new_run

GATES = 24
ROUNDS = 6
REFUSED = {("admit", "halted"), ("think", "halted")}
OTHER = "globex"


@pytest.fixture
async def world(module_database: DatabaseAddresses) -> AsyncGenerator[World]:
    async with (
        Database(module_database.url, role="countersign_app", max_connections=GATES + 4) as db,
        AsyncConnectionPool[Any](module_database.owner_url, min_size=1, max_size=4, open=False) as owner,
    ):
        yield World(db, owner, [await new_run(db), await new_run(db)])
        async with owner.connection() as connection:
            await connection.execute("update switches set released_at = now() where released_at is null")


async def on(world: World, scope: str = "tenant", target: str = "*", **more: Any) -> Thrown:  # noqa: ANN401 - any field
    values: dict[str, Any] = {
        "tenant": TENANT,
        "scope": scope,
        "target": target,
        "reason": "test",
        "by": "otto",
        "tenants": [TENANT],
    }
    return await throw_switch(world.db, **{**values, **more})


async def off(world: World, thrown: Thrown, tenant: str = TENANT) -> None:
    async with world.db.tenant(tenant) as cursor:
        assert await release_switch(cursor, tenant=tenant, switch_id=thrown.switch_id, by="olga", reason="over")


async def gate(
    world: World, run_id: str, chance: random.Random, until: asyncio.Event, said: list[tuple[str, str]]
) -> None:
    """A gate that admits and sends as fast as it can, until it is told to stop; and what its statements `said`."""
    for step in range(1, 500):
        if until.is_set():
            break
        tool, verdict = (READ, "read") if chance.random() < 0.5 else (WRITE, "write")
        key = CallKey(TENANT, run_id, step, 0, 1)
        loaded = await world.load(key, tool)
        admission = await world.admit(key, tool, loaded, verdict=verdict, deed=f"{run_id}/{step}")
        said.append(("admit", admission.kind))
        if admission.kind == "admitted" and verdict == "write":
            await asyncio.sleep(0)  # another gate, or the switch, may come between
            began = await start_effect(
                world.db, key, admission.effect_fence, agent=AGENT, tool=tool, lease_s=60, credential_s=60
            )
            said.append(("send", began.kind))
        if chance.random() < 0.3:
            reserved = await reserve_model_call(world.db, TENANT, run_id, step, BOUNDS)
            said.append(("think", reserved.kind))


@pytest.mark.req("H8")
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_nothing_is_admitted_sent_or_asked_after_the_commit(world: World, seed: int) -> None:
    chance = random.Random(seed)
    runs = [await new_run(world.db) for _ in range(GATES)]
    stop = asyncio.Event()
    said: list[tuple[str, str]] = []
    gates = [
        asyncio.create_task(gate(world, run, random.Random(seed * 1_000 + number), stop, said))
        for number, run in enumerate(runs)
    ]
    async with world.db.tenant(TENANT) as cursor:
        await _until_admitted(cursor, runs, chance.randint(5, 60))
    scope, target = chance.choice([("tenant", "*"), ("agent", AGENT)])
    thrown = await on(world, scope, target)
    committed = time.time()
    await _until_refused(said)
    stop.set()
    await asyncio.gather(*gates)
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute(
            """select (select count(*) from effects where first_sent_at > %(at)s) as sent,
                   (select count(*) from journal where call = -1 and started_at > %(at)s) as asked,
                   (select count(*) from journal where call >= 0 and started_at > %(at)s) as admitted,
                   (select max(started_at) from journal where run_id = any(%(runs)s)) as last""",
            {"at": thrown.set_at, "runs": runs},
        )
        found = await cursor.fetchone()
        receipts = {(one.run_id, one.step, one.call) for one in await receipts_of(cursor, TENANT, thrown.switch_id)}
        running = {(one.run_id, one.step, one.call) for one in await under_way(cursor, TENANT)}
    assert found is not None
    assert (found["admitted"], found["sent"], found["asked"]) == (0, 0, 0)
    assert found["last"].timestamp() < committed
    assert ("admit", "admitted") in said
    # Whatever still runs of these was listed when it fell.
    assert {place for place in running if place[0] in runs} <= receipts
    await off(world, thrown)


async def _until_admitted(cursor: psycopg.AsyncCursor[Any], runs: list[str], wanted: int) -> None:
    for _ in range(2_000):
        await cursor.execute("select count(*) as n from audit where kind = 'decided' and run_id = any(%s)", (runs,))
        row = await cursor.fetchone()
        if row and row["n"] >= wanted:
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the gates admit nothing")


async def _until_refused(said: list[tuple[str, str]]) -> None:
    for _ in range(6_000):
        if set(said) >= REFUSED:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the gates go on")


@pytest.mark.req("H8")
async def test_receipts_say_what_was_under_way_then_and_what_became_of_it(world: World) -> None:
    key = CallKey(TENANT, world.runs[0], 1, 0, 1)
    admitted = await world.admit(key, WRITE, await world.load(key, WRITE), deed="a receipt")
    thrown = await on(world, "tool", WRITE)
    assert thrown.in_flight >= 1
    held = await start_effect(
        world.db, key, admitted.effect_fence, agent=AGENT, tool=WRITE, lease_s=60, credential_s=60
    )
    assert (held.kind, held.detail) == ("halted", f"tool:{WRITE}")
    async with world.db.tenant(TENANT) as cursor:
        receipts = await receipts_of(cursor, TENANT, thrown.switch_id)
        (mine,) = [one for one in receipts if one.run_id == world.runs[0]]
    assert (mine.kind, mine.state, mine.now, mine.settled) == ("write", "prepared", "prepared", False)
    assert mine.effect_key == f"{world.runs[0]}/1/0"
    await world.db.call("select end_effects(%s, %s)", (TENANT, world.runs[0]))
    async with world.db.tenant(TENANT) as cursor:
        (mine,) = [one for one in await receipts_of(cursor, TENANT, thrown.switch_id) if one.run_id == world.runs[0]]
    assert (mine.state, mine.now, mine.settled) == ("prepared", "failed_final", True)


@pytest.mark.req("H8")
async def test_a_second_throw_changes_nothing_and_a_second_release_finds_nothing(world: World) -> None:
    first, again = await on(world, "agent", AGENT), await on(world, "agent", AGENT)
    assert (first.fresh, again.fresh, again.switch_id) == (True, False, first.switch_id)
    assert again.epoch == first.epoch
    await off(world, first)
    async with world.db.tenant(TENANT) as cursor:
        gone = await release_switch(cursor, tenant=TENANT, switch_id=first.switch_id, by="eve", reason="me too")
        found = await find_switch(cursor, TENANT, first.switch_id)
    assert gone is None
    assert found is not None
    assert (found.released_by, found.released_reason) == ("olga", "over")


@pytest.mark.req("H8")
async def test_a_switch_revokes_the_credentials_of_its_scope(world: World) -> None:
    thrown = await on(world, "run", world.runs[1])
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "select current_epoch(%s, %s, %s, %s) as mine, current_epoch(%s, %s, %s, %s) as other",
            (TENANT, world.runs[1], AGENT, WRITE, TENANT, world.runs[0], AGENT, WRITE),
        )
        row = await cursor.fetchone()
    assert row is not None
    assert row["mine"] == thrown.epoch
    assert row["other"] < row["mine"]


@pytest.mark.req("P11")
async def test_a_tenant_neither_sees_nor_releases_the_switch_of_another_and_all_see_the_global_one(
    world: World,
) -> None:
    mine = await on(world, "agent", AGENT)
    everywhere = await on(world, "tenant", "*", tenant=EVERYBODY, tenants=[TENANT, OTHER])
    async with world.db.tenant(OTHER) as cursor:
        seen = {one.switch_id: one.kind for one in await list_switches(cursor, OTHER)}
        assert seen == {everywhere.switch_id: "global"}
        assert await receipts_of(cursor, TENANT, mine.switch_id) == ()
        assert await halted_by(cursor, OTHER, world.runs[0], AGENT, "") == "tenant:*"
    # Not even with the other tenant's name: the function sets it, so only who may name it reaches it.
    async with world.db.tenant(OTHER) as cursor:
        await cursor.execute("update switches set released_at = now() where switch_id = %s", (mine.switch_id,))
        assert cursor.rowcount == 0
    await off(world, everywhere, EVERYBODY)


@pytest.mark.req("H8")
async def test_a_pause_whose_switch_is_gone_is_none_and_one_that_holds_is_freed_by_the_release(
    world: World, module_database: DatabaseAddresses
) -> None:
    run_id = world.runs[0]

    async def keep(number: int) -> str:
        pause = OpenPause(number=number, cause="halted", tool=WRITE, detail="halted")
        request = PauseRun(tenant=TENANT, run_id=run_id, definition="sha256:" + "0" * 64, step=1, pause=pause)
        return await keep_pause(world.db, request, AGENT, f'{{"pause":{number}}}')

    assert await keep(1) == "free"
    thrown = await on(world, "tool", WRITE)
    assert [await keep(2), await keep(2)] == ["paused", "paused"]
    async with Database(module_database.url, role="countersign_dispatch") as dispatch:
        assert run_id not in {one.run_id for one in await freed_pauses(dispatch, 100)}
        await off(world, thrown)
        (freed,) = [one for one in await freed_pauses(dispatch, 100) if one.run_id == run_id]
        assert (freed.tenant, freed.number, freed.released_by) == (TENANT, 2, "olga")
        assert freed.why == f"switch {thrown.switch_id} was released"
        await world.db.call(
            "select * from close_run(%s, %s, 'cancelled', 'requested', '', '{}', '{}')", (TENANT, run_id)
        )
        assert run_id not in {one.run_id for one in await freed_pauses(dispatch, 100)}
    assert await keep(2) == "over"
    async with world.db.tenant(TENANT) as cursor:
        assert run_id not in {one.run_id for one in await open_pauses(cursor, TENANT)}


@pytest.mark.req("I9")
@pytest.mark.parametrize("table", ["switch_receipts", "run_reads"])
async def test_receipts_and_reads_cannot_be_rewritten(world: World, table: str) -> None:
    key = CallKey(TENANT, world.runs[0], 1, 0, 1)
    await world.admit(key, WRITE, await world.load(key, WRITE), deed=opaque_id("deed", table))
    await on(world, "run", world.runs[0])
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "insert into run_reads (tenant, run_id, reader, person, via, what) values (%s, %s, 'a', 'a', 'cli', 'run')",
            (TENANT, world.runs[0]),
        )
    for change in ("update {} set run_id = ''", "delete from {}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with world.db.tenant(TENANT) as cursor:
                await cursor.execute(change.format(table).encode())
