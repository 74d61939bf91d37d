"""A store that is away for a moment is waited for; one that stays away ends the run safely, with its packet."""

import asyncio

import psycopg
import pytest

from contracts.outcome import Outcome, OutcomeReason
from store.effects import unknown_effects
from tests.crashes.invariants import check
from tests.crashes.stack import CrashStack, Run, through_outages

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.req("D1"),
    pytest.mark.long,
    pytest.mark.timeout(240),
]


async def test_a_store_that_stays_away_ends_the_run_safely_and_a_short_outage_does_not(stack: CrashStack) -> None:
    early = await stack.begin("small", hold="open", store_wait_s=3)
    late = await stack.begin("small", hold="finish/2", store_wait_s=3)
    patient = [await stack.begin("small", hold=point, store_wait_s=240) for point in ("settle/2", "finish/3")]
    await asyncio.to_thread(stack.holds.wait_for, {run.run_id for run in (early, late, *patient)})
    stack.postgres.kill()
    try:
        ended = await asyncio.gather(stack.end_of(early), stack.end_of(late))
    finally:
        await stack.postgres.start()
        stack.holds.release()
    assert [(report.outcome, report.reason) for report in ended] == [
        (Outcome.FAILED_SAFE, OutcomeReason.STORE_DOWN)
    ] * 2
    packet = ended[1].content.packet
    assert packet is not None
    assert "step 1: crm.read_ticket ran" in packet.steps
    for run in patient:
        report = await stack.end_of(run)
        assert report.outcome is Outcome.COMPLETED
        check(stack, run, report)


async def test_a_write_that_nobody_looks_at_any_more_is_in_the_unknown_queue(stack: CrashStack) -> None:
    run = await stack.begin("small", hold="finish/3")
    await asyncio.to_thread(stack.holds.wait_for, {run.run_id})
    await run.handle.terminate("an operator's hand, past every safe end")
    stack.worker.kill()
    stack.holds.undo({run.run_id})
    stack.holds.release()
    await stack.worker.start()
    with psycopg.connect(stack.owner_url, autocommit=True) as owner:
        owner.execute("update effects set lease_until = now() - interval '2 minutes' where run_id = %s", (run.run_id,))
    assert await queued(stack, run) == ["payments.issue_refund"]
    assert len(stack.refunds_of(run)) == 1


async def queued(stack: CrashStack, run: Run) -> list[object]:
    found = await through_outages(lambda: unknown_effects(stack.installation.db, "acme"))
    return [effect["tool"] for effect in found if effect["run_id"] == run.run_id]
