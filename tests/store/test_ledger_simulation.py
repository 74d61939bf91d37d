"""Interleavings of workers that load, admit, send, settle, pause and die, over the store's own statements."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from store.database import Database
from store.journal import CallKey
from tests.conftest import DatabaseAddresses
from tests.store.actors import Attempt, model_attempt, read_attempt, write_attempt
from tests.store.ledger_world import AMOUNT_MINOR, TENANT, World, new_run
from tests.store.outsiders import asking_worker, person

pytestmark = pytest.mark.req("T4", "B1")

SEED = int(os.environ.get("COUNTERSIGN_TEST_SEED", "20261121"))
SIDE_BY_SIDE = 8
EVENTS = 60
ATTEMPTS_MAX = 5
ROUNDS = 60


@dataclass(frozen=True)
class Work:
    """One thing that a run has to do, whoever does it."""

    run_id: str
    step: int
    call: int
    """-1: the model call of the step."""
    deed: str = ""
    """Of a write; empty: a read."""


@dataclass
class Schedule:
    """One interleaving, drawn from a seed."""

    world: World
    chance: random.Random
    work: list[Work]
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    async def run(self) -> None:
        """Faults for a while, then none: then everything must settle."""
        for _ in range(EVENTS):
            burst = await self._event()
            await self.world.check(burst=burst)
            await self.world.check_day()
        for attempt in self.attempts:
            await attempt.aclose()
        for work in self.chance.sample(self.work, len(self.work)):
            await self._settle(work)
            await self.world.check(burst=True)
        # A call that met a limit on its way back left its effect as it was: the end of the run, or people, close it.
        await self.world.close()
        await self._close_doubts()
        await self._check_settled()
        await self.world.check_day(closed=True)

    async def _event(self) -> bool:
        """One thing happens. Whether several statements ran at once."""
        fate = self.chance.random()
        if fate < 0.05:
            await self.world.lapse()
        elif fate < 0.12 and self.attempts:
            # A crash: what the attempt did stays, what it was about to do does not happen.
            await self.attempts.pop(self.chance.randrange(len(self.attempts))).aclose()
        elif fate < 0.4 and len(self.attempts) < ATTEMPTS_MAX:
            # Also of work that another attempt has in hand: that one may be dead, or only slow.
            self.attempts.append(await self._attempt(self.chance.choice(self.work)))
        elif fate < 0.46 and len(self.attempts) < ATTEMPTS_MAX:
            self.attempts.append(asking_worker(self.world, self.chance))
        elif fate < 0.5 and len(self.attempts) < ATTEMPTS_MAX:
            self.attempts.append(person(self.world, self.chance))
        elif fate < 0.65 and len(self.attempts) > 1:
            some = self.chance.sample(self.attempts, self.chance.randint(2, len(self.attempts)))
            await asyncio.gather(*(self._advance(attempt) for attempt in some))
            return True
        elif self.attempts:
            await self._advance(self.chance.choice(self.attempts))
        return False

    async def _advance(self, attempt: Attempt) -> None:
        try:
            await anext(attempt)
        except StopAsyncIteration:
            self.attempts.remove(attempt)

    async def _attempt(self, work: Work) -> Attempt:
        if work.call < 0:
            return model_attempt(self.world, work.run_id, work.step, self.chance)
        visits = [row for row in await self.world.rows("journal", work.run_id) if self._is_of(row, work)]
        # A visit that ended in doubt is followed by another, as the run does it.
        doubts = sum(row["control"] == '{"unknown":true}' for row in visits)
        key = CallKey(TENANT, work.run_id, work.step, work.call, doubts + 1)
        if not work.deed:
            return read_attempt(self.world, key)
        return write_attempt(self.world, key, work.deed, self.chance)

    @staticmethod
    def _is_of(row: dict[str, Any], work: Work) -> bool:
        return (row["step"], row["call"]) == (work.step, work.call)

    async def _settle(self, work: Work) -> None:
        for _ in range(ROUNDS):
            rows = [row for row in await self.world.rows("journal", work.run_id) if self._is_of(row, work)]
            if any(row["state"] == "done" and row["control"] != '{"unknown":true}' for row in rows):
                return
            await self.world.lapse()
            attempt = await self._attempt(work)
            with suppress(StopAsyncIteration):
                while True:
                    await anext(attempt)
            if work.call < 0 and (work.run_id, work.step) in self.world.limited:
                return
        raise AssertionError(f"{work} never settled")

    async def _close_doubts(self) -> None:
        for _ in range(ROUNDS):
            if not await self._states() & {"unknown"}:
                return
            for attempt in (asking_worker(self.world, self.chance), person(self.world, self.chance)):
                async for _step in attempt:
                    await self.world.check(burst=True)
        raise AssertionError("a doubt was never closed")

    async def _states(self) -> set[str]:
        return {effect["state"] for run_id in self.world.runs for effect in await self.world.rows("effects", run_id)}

    async def _check_settled(self) -> None:
        done = dict(self.world.provider.done)
        for run_id in self.world.runs:
            (state,) = await self.world.rows("run_state", run_id, "run_id")
            assert (state["tokens_reserved"], state["micros_reserved"]) == (0, 0)
            effects = await self.world.rows("effects", run_id)
            assert {effect["state"] for effect in effects} <= {"succeeded", "failed_final", "abandoned"}
            for effect in effects:
                key = f"{run_id}/{effect['step']}/{effect['call']}"
                if effect["state"] != "abandoned":  # of that nobody claims to know
                    assert done.get(key, 0) == (effect["state"] == "succeeded"), effect
            assert state["effects"] == sum(effect["state"] == "succeeded" for effect in effects)
        await self.world.check_chains()


@pytest.fixture
async def db(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_app", max_connections=20) as opened:
        yield opened


@pytest.fixture
async def owner(database: DatabaseAddresses) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool(database.owner_url, max_size=10, open=False, kwargs={"autocommit": True}) as opened:
        yield opened


async def one_schedule(db: Database, owner: AsyncConnectionPool[Any], seed: int) -> None:
    chance = random.Random(f"{SEED}/{seed}")
    agent = f"bee_{seed}"
    runs = [await new_run(db, agent) for _ in range(2)]
    work = [Work(run_id, step, -1) for run_id in runs for step in (1, 2)]
    work += [Work(run_id, step, 0) for run_id in runs for step in (1, 2)]
    deeds = [f"refund:{seed}:{number}" for number in range(2)]
    work += [Work(run_id, step, call, deed) for run_id in runs for step in (1, 2) for call, deed in enumerate(deeds, 1)]
    try:
        world = World(db, owner, runs, agent=agent)
        if seed % 2:  # a day that is too short for all that the runs would do
            world.caps = {
                "tokens": chance.randint(90, 500), "micros": chance.randint(200, 1_500), "model_calls": 6,
                "tool_calls": chance.randint(1, 8), "retries": chance.randint(1, 40), "wall_s": 1_500,
            }  # fmt: skip
            world.money_max = chance.randint(1, 3) * AMOUNT_MINOR
        await Schedule(world, chance, work).run()
    except BaseException as error:
        error.add_note(f"schedule {seed} of seed {SEED}")
        raise


async def many_schedules(db: Database, owner: AsyncConnectionPool[Any], seeds: range) -> None:
    for first in range(seeds.start, seeds.stop, SIDE_BY_SIDE):
        some = range(first, min(first + SIDE_BY_SIDE, seeds.stop))
        await asyncio.gather(*(one_schedule(db, owner, seed) for seed in some))


async def test_no_interleaving_breaks_the_ledger_or_a_limit(db: Database, owner: AsyncConnectionPool[Any]) -> None:
    await many_schedules(db, owner, range(16))


@pytest.mark.long
@pytest.mark.timeout(3600)  # a busy machine: 8 min on a quiet one
async def test_thousands_of_interleavings(db: Database, owner: AsyncConnectionPool[Any]) -> None:
    await many_schedules(db, owner, range(16, 2016))
