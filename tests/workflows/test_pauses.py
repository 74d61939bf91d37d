"""Runs that stand still: by a switch, by an operator, by a disabled agent; and how they go on or end."""

import asyncio

import pytest

from contracts.command import (
    CommandAccepted,
    CommandRefusal,
    CommandRefused,
    EndRun,
    HandOver,
    Pause,
    ResolveUnknown,
    Resume,
)
from contracts.outcome import Outcome, OutcomeReason
from contracts.snapshot import RunSnapshot
from store.pauses import open_pauses
from tests.installation import TENANT, Installation
from tests.operating import Handle, freed, obeyed, paused, release, resume_freed, switch_on
from workflows.agent_run import AgentRun

SMALL, ASKS = "TIC-2001", "TIC-2006"
REFUND = "payments.issue_refund"


async def chain(installation: Installation, handle: Handle, kind: str) -> list[str]:
    """Bodies of the run's audit entries of a kind."""
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute("select body from audit where run_id = %s and kind = %s order by seq", (handle.id, kind))
        return [row["body"] for row in await cursor.fetchall()]


@pytest.mark.req("H8")
async def test_a_run_that_meets_a_switch_waits_and_goes_on_after_the_release(installation: Installation) -> None:
    thrown = await switch_on(installation, "tool", REFUND)
    handle = await installation.start({"ticket_id": SMALL})
    pause = await paused(handle)
    assert (pause.cause, pause.tool) == ("halted", REFUND)
    assert installation.refunds() == []
    assert await freed(installation) == []
    await release(installation, thrown, "olga")
    assert await freed(installation) == [(handle.id, pause.number, "olga")]
    assert await resume_freed(installation, handle, pause.number) == CommandAccepted()
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1
    assert len(await chain(installation, handle, "paused")) == len(await chain(installation, handle, "commanded")) == 1
    assert await freed(installation) == []


@pytest.mark.req("H8")
async def test_an_operator_pauses_resumes_and_the_model_is_not_called_meanwhile(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": ASKS})
    request = await installation.open_request(handle)
    assert await obeyed(installation, handle, Pause()) == CommandAccepted()
    # The vote counts, and nothing is done with it before somebody resumes.
    await installation.vote(handle, request, "lena")
    pause = await paused(handle)
    assert (pause.cause, pause.by and pause.by.person) == ("operator", "otto")
    async with installation.db.tenant(TENANT) as cursor:
        (stored,) = [one for one in await open_pauses(cursor, TENANT) if one.run_id == handle.id]
    assert (stored.person, stored.reason, stored.cause) == ("otto", "looks wrong", "operator")
    assert installation.refunds() == []
    assert await obeyed(installation, handle, Pause()) == CommandRefused(refusal=CommandRefusal.ALREADY_PAUSED)
    assert await resume_freed(installation, handle, pause.number) == CommandRefused(refusal=CommandRefusal.NOT_PAUSED)
    assert await obeyed(installation, handle, Resume()) == CommandAccepted()
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1


@pytest.mark.req("H8")
@pytest.mark.parametrize(
    ("order", "outcome", "reason"),
    [
        (EndRun(), Outcome.CANCELLED, OutcomeReason.REQUESTED),
        (HandOver(), Outcome.ESCALATED, OutcomeReason.HANDED_OVER),
    ],
)
async def test_an_operator_ends_a_paused_run(
    installation: Installation, order: EndRun | HandOver, outcome: Outcome, reason: OutcomeReason
) -> None:
    thrown = await switch_on(installation, "run", installation.run_id_of(f"ended-{order.kind}"))
    handle = await installation.start({"ticket_id": SMALL}, event_id=f"ended-{order.kind}")
    await paused(handle)
    assert await obeyed(installation, handle, order, reason="taken over by phone") == CommandAccepted()
    report = await handle.result()
    assert (report.outcome, report.reason) == (outcome, reason)
    (noted,) = await chain(installation, handle, "commanded")
    assert "taken over by phone" in noted
    assert report.content.packet
    async with installation.db.tenant(TENANT) as cursor:
        assert handle.id not in {one.run_id for one in await open_pauses(cursor, TENANT)}
    await release(installation, thrown)
    assert (handle.id, 1, "otto") not in await freed(installation)


@pytest.mark.req("H8")
async def test_an_operator_ends_a_run_that_waits_for_people(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": ASKS})
    await installation.open_request(handle)
    assert await obeyed(installation, handle, EndRun()) == CommandAccepted()
    report = await handle.result()
    assert (report.outcome, report.reason) == (Outcome.CANCELLED, OutcomeReason.REQUESTED)
    assert installation.refunds() == []


@pytest.mark.req("H8")
async def test_commands_that_nobody_may_give_change_nothing(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": ASKS})
    request = await installation.open_request(handle)
    refusals = [
        await obeyed(installation, handle, EndRun(), roles=("view", "approve")),
        await obeyed(installation, handle, EndRun(), reason="  "),
        await obeyed(installation, handle, EndRun(), issued_at=1, authenticated_at=1, expires_at=2),
        await obeyed(installation, handle, EndRun(), authenticated_at=1),
        await obeyed(installation, handle, EndRun(), run_id="run-" + "a" * 26),
        await obeyed(installation, handle, EndRun(), strength="service", issuer="countersign"),
        await obeyed(installation, handle, Resume()),
        await obeyed(installation, handle, ResolveUnknown(step=1, call=0), roles=("undo",)),
    ]
    assert [answer.refusal for answer in refusals if isinstance(answer, CommandRefused)] == [
        CommandRefusal.NOT_ALLOWED,
        CommandRefusal.REASON_MISSING,
        CommandRefusal.EXPIRED,
        CommandRefusal.STALE_SIGN_IN,
        CommandRefusal.WRONG_RUN,
        CommandRefusal.NOT_ALLOWED,
        CommandRefusal.NOT_PAUSED,
        CommandRefusal.NOT_IN_DOUBT,
    ]
    snapshot: RunSnapshot = await handle.query(AgentRun.snapshot)
    assert (snapshot.refused_commands, snapshot.pause) == (len(refusals), None)
    await installation.vote(handle, request, "lena")
    assert (await handle.result()).outcome is Outcome.COMPLETED


@pytest.mark.req("H8")
async def test_a_paused_run_is_resumed_once_however_often_it_is_told(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": ASKS})
    await installation.open_request(handle)
    await obeyed(installation, handle, Pause())
    answers = await asyncio.gather(*(obeyed(installation, handle, Resume()) for _ in range(5)))
    assert sorted(answer.kind for answer in answers) == ["accepted", *["refused"] * 4]
    await obeyed(installation, handle, EndRun())
    assert (await handle.result()).outcome is Outcome.CANCELLED
