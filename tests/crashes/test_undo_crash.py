"""Kill -9 of the worker, of Temporal and of Postgres inside the run that takes another one back."""

import asyncio

import pytest

from contracts.call import EffectState
from contracts.outcome import Outcome
from tests.crashes.invariants import check_records
from tests.crashes.kills import kill_and_start
from tests.crashes.points import Victims
from tests.crashes.stack import CrashStack, Run, through_outages
from tests.workflows.test_undo import Handle, ordered, undo_run_id

pytestmark = [
    pytest.mark.asyncio(loop_scope="package"), pytest.mark.req("D1", "T5"), pytest.mark.long, pytest.mark.timeout(300),
]  # fmt: skip

POINTS = ("admit/1", "start/1", "finish/1", "finish/2", "ask/3", "admit/3", "finish/3")
"""Steps of an undo: 1 the ticket's status, 2 the draft, 3 the refund, for which a person is asked."""
VICTIMS: tuple[Victims, ...] = ("worker", "temporal", "postgres")


@pytest.mark.parametrize("victim", VICTIMS)
async def test_what_is_taken_back_is_taken_back_once(stack: CrashStack, victim: Victims) -> None:
    runs = [await stack.begin("small") for _ in POINTS]
    for run in runs:
        assert (await stack.end_of(run)).outcome is Outcome.COMPLETED
    undone: list[tuple[Run, Handle]] = []
    for run, point in zip(runs, POINTS, strict=True):
        stack.holds.arm(undo_run_id(run.run_id), point)
        undone.append((run, (await ordered(stack.installation, run.run_id))[0]))
    votes = [asyncio.create_task(approve(stack, undo)) for _, undo in undone]
    await asyncio.to_thread(stack.holds.wait_for, {undo.id for _, undo in undone})
    await kill_and_start(stack, victim, {undo.id for _, undo in undone[::2]})
    for run, undo in undone:
        report = await through_outages(undo.result)
        assert report.outcome is Outcome.COMPLETED, report
        effects = check_records(stack.owner_url, undo.id)
        assert [effect["state"] for effect in effects] == [EffectState.SUCCEEDED] * 3
        assert [refund["status"] for refund in stack.refunds_of(run)] == ["reversed"]
    await asyncio.gather(*votes)


async def approve(stack: CrashStack, undo: Handle) -> None:
    request = await through_outages(lambda: stack.installation.open_request(undo))
    await through_outages(lambda: stack.installation.vote(undo, request, "lena"))
