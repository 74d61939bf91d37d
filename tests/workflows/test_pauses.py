"""Runs that stand still: by a switch, by an operator, by a disabled agent; and how they go on or end."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import TimeSkipper

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
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.operating import (
    Handle,
    command_to,
    freed,
    obeyed,
    paused,
    release,
    resume_freed,
    send,
    soon,
    switch_on,
)
from tests.workflows.test_long_runs import impatient_temporal
from tests.workflows.variants import agents_with
from workers.run_worker import run_worker
from workflows.agent_run import AgentRun

__all__ = ["impatient_temporal"]

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


@pytest.mark.req("H8", "D3")
async def test_a_worker_that_dies_while_a_run_is_paused_changes_nothing(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], worker=False
    ) as installation:
        async with run_worker(installation.client, installation.engine):
            thrown = await switch_on(installation, "tool", REFUND)
            handle = await installation.start({"ticket_id": SMALL})
            pause = await paused(handle)
        # No worker: the order waits in the history, and the next worker builds the run anew from it.
        await release(installation, thrown)
        command = command_to(
            handle.id, Resume(because="released", pause=pause.number), issuer="countersign", strength="service"
        )
        await handle.signal(AgentRun.command, installation.signer.sign_command(command))
        async with run_worker(installation.client, installation.engine):
            assert (await handle.result()).outcome is Outcome.COMPLETED
        assert len(installation.refunds()) == 1
        assert len(await chain(installation, handle, "paused")) == 1


@pytest.mark.req("H8", "D3")
@pytest.mark.parametrize("halted", [True, False], ids=["halted", "by an operator"])
async def test_a_paused_run_continues_as_new_and_is_still_paused(
    tmp_path: Path, database: DatabaseAddresses, impatient_temporal: str, backoffice: Server,
    credential_key: tuple[Path, Path], *, halted: bool,
) -> None:  # fmt: skip
    async with installed(tmp_path, database.url, impatient_temporal, backoffice, credential_key[0]) as installation:
        thrown = await switch_on(installation, "tool", REFUND) if halted else None
        handle = await installation.start({"ticket_id": SMALL})
        if not halted:
            assert await obeyed(installation, handle, Pause()) == CommandAccepted()
        before = await paused(handle)
        first = (await handle.describe()).run_id
        known = command_to(handle.id, Pause(), reason="")
        noise = installation.signer.sign_command(known)

        async def moved_on() -> str | None:
            await handle.signal(AgentRun.command, noise)
            now = (await handle.describe()).run_id
            return now if now != first else None

        await soon(moved_on, "the run did not continue as new")
        assert await paused(handle) == before
        # It knows what it was told before: the same words change nothing in the new execution either.
        assert await send(handle, noise, known.command_id) == CommandRefused(refusal=CommandRefusal.REASON_MISSING)
        if thrown is not None:
            await release(installation, thrown)
            assert await resume_freed(installation, handle, before.number) == CommandAccepted()
        else:
            assert await obeyed(installation, handle, Resume()) == CommandAccepted()
        assert (await handle.result()).outcome is Outcome.COMPLETED
        assert len(installation.refunds()) == 1
        assert len(await chain(installation, handle, "paused")) == 1


@pytest.mark.req("H8", "D2")
async def test_a_run_that_is_paused_at_its_age_limit_ends_safely(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, limits={"age_s": 3}),
    ) as installation:  # fmt: skip
        await switch_on(installation, "tool", REFUND)
        handle = await installation.start({"ticket_id": SMALL})
        await paused(handle)
        report = await handle.result()
        assert (report.outcome, report.reason) == (Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED)
        assert installation.refunds() == []
        async with installation.db.tenant(TENANT) as cursor:
            assert await open_pauses(cursor, TENANT) == ()


@pytest.mark.req("B1", "H8")
async def test_a_pause_is_no_working_time(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, limits={"active_s": 60}),
    ) as installation:  # fmt: skip
        thrown = await switch_on(installation, "tool", REFUND)
        handle = await installation.start({"ticket_id": SMALL})
        pause = await paused(handle)
        await TimeSkipper(installation.client).fast_forward(handle, timedelta(seconds=90))
        await release(installation, thrown)
        await resume_freed(installation, handle, pause.number)
        assert (await handle.result()).outcome is Outcome.COMPLETED
