"""Every boundary, seeded: each of worker, Temporal and Postgres dies at dozens of points, and once at random times."""

import asyncio
import os
import random

import pytest

from contracts.outcome import Outcome
from tests.crashes.invariants import check
from tests.crashes.kills import kill_and_start, kill_at
from tests.crashes.points import Victims, drawn
from tests.crashes.stack import CrashStack

pytestmark = [
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.req("D1", "T4"),
    pytest.mark.long,
    pytest.mark.timeout(600),
]

SEED = int(os.environ.get("COUNTERSIGN_TEST_SEED", "20261121"))
POINTS_A_KILL = 12
KILLS = [(victim, number) for number in range(2) for victim in ("worker", "temporal", "postgres")]


@pytest.mark.parametrize(("victim", "number"), KILLS)
async def test_drawn_boundaries(stack: CrashStack, victim: Victims, number: int) -> None:
    assert await kill_at(stack, victim, drawn(SEED + number, victim, POINTS_A_KILL)) == {}


@pytest.mark.parametrize("number", range(3))
async def test_random_times_with_every_victim(stack: CrashStack, number: int) -> None:
    """Ten runs, and a kill every few seconds while they work."""
    chance = random.Random(f"{SEED}/times/{number}")
    runs = [await stack.begin("small") for _ in range(8)] + [await stack.begin("large") for _ in range(2)]
    votes = [asyncio.create_task(stack.approve(run)) for run in runs if run.kind == "large"]
    victims: list[Victims] = ["worker", "temporal", "postgres"]
    chance.shuffle(victims)
    for victim in victims:
        await asyncio.sleep(chance.uniform(0.1, 3.0))
        await kill_and_start(stack, victim, set())
    reports = await asyncio.gather(*(stack.end_of(run) for run in runs))
    await asyncio.gather(*votes)
    for run, report in zip(runs, reports, strict=True):
        check(stack, run, report)


async def test_a_paused_worker_that_wakes_does_nothing_twice(stack: CrashStack) -> None:
    """A machine that swaps: its worker sleeps through heartbeat and lease, another one takes over, then it wakes."""
    points = ("settle/2", "admit/3", "start/3", "finish/3", "finish/4", "settle/5")
    runs = [await stack.begin("small", hold=point) for point in points]
    await asyncio.to_thread(stack.holds.wait_for, {run.run_id for run in runs})
    stack.worker.pause()
    stack.holds.release()
    other = stack.another_worker()
    await other.start()
    try:
        reports = await asyncio.gather(*(stack.end_of(run) for run in runs))
        stack.worker.go_on()
        await stack.worker.ready()
        after = await stack.begin("small")
        other.kill()
        for run, report in [*zip(runs, reports, strict=True), (after, await stack.end_of(after))]:
            assert report.outcome is Outcome.COMPLETED
            check(stack, run, report)
    finally:
        other.stop()
