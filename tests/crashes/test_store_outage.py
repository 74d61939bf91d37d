"""A store that is away for a moment is waited for; one that stays away ends the run safely, with its packet."""

import asyncio

import psycopg
import pytest

from contracts.call import EffectState
from contracts.outcome import Outcome, OutcomeReason
from store.doubts import effects_in, lapse_effects
from tests.crashes.invariants import check, rows
from tests.crashes.stack import CrashStack, Run, through_outages

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.req("D1"), pytest.mark.timeout(180)]

AWAY = ("open", "finish/2", "admit/3", "start/3", "finish/3", "close")
"""Where runs stand when the store goes away for longer than they wait."""


async def test_a_store_that_stays_away_ends_runs_safely_and_patient_ones_go_on(stack: CrashStack) -> None:
    impatient = [await stack.begin("small", hold=point, store_wait_s=3) for point in AWAY]
    patient = [await stack.begin("small", hold=point, store_wait_s=120) for point in ("open", "settle/2", "finish/3")]
    await asyncio.to_thread(stack.holds.wait_for, {run.run_id for run in (*impatient, *patient)})
    stack.postgres.kill()
    try:
        ended = await asyncio.gather(*(stack.end_of(run) for run in impatient))
    finally:
        await stack.postgres.start()
        stack.holds.release()
    assert {(report.outcome, report.reason) for report in ended} == {(Outcome.FAILED_SAFE, OutcomeReason.STORE_DOWN)}
    packets = [report.content.packet for report in ended]
    assert all(packet is not None and packet.needed for packet in packets)
    told = packets[AWAY.index("finish/2")]
    assert told is not None
    assert "step 1: crm.read_ticket ran" in told.steps
    for run in patient:
        report = await stack.end_of(run)
        assert report.outcome is Outcome.COMPLETED
        check(stack, run, report)
    # Before the refund's intent was written, and after it but before anything was sent: nothing has happened.
    unwritten, unsent, lost = (impatient[AWAY.index(point)] for point in ("admit/3", "start/3", "finish/3"))
    assert (stack.refunds_of(unwritten), stack.refunds_of(unsent)) == ([], [])
    assert rows(stack.owner_url, "effects", unwritten.run_id, "step") == []
    (intent,) = rows(stack.owner_url, "effects", unsent.run_id, "step")
    assert (intent["state"], intent["attempts"]) == ("prepared", 0)
    # That of the last was made, and its record was lost with the store: it waits for somebody to look.
    assert len(stack.refunds_of(lost)) == 1
    a_minute_passes(stack, lost)
    assert await queued(stack, lost) == ["payments.issue_refund"]


def a_minute_passes(stack: CrashStack, run: Run) -> None:
    """Since the lease of the run's write lapsed."""
    with psycopg.connect(stack.owner_url, autocommit=True) as owner:
        owner.execute(
            "update effects set lease_until = lease_until - interval '2 minutes' where run_id = %s", (run.run_id,)
        )


async def queued(stack: CrashStack, run: Run) -> list[object]:
    """Tools of the run in the queue of what is not known, after a look at what was under way."""
    db = stack.installation.db

    async def look() -> list[object]:
        await lapse_effects(db, "acme", limit=1_000, after_s=60)
        async with db.tenant("acme") as cursor:
            return [
                effect.tool for effect in await effects_in(cursor, "acme", [EffectState.UNKNOWN], run_id=run.run_id)
            ]

    return await through_outages(look)
