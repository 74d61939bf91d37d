"""Record anew the histories that `test_histories.py` replays: `make histories`.

They are a contract: a change of the workflow that does not replay them would break runs that are open when it is
released. Record them anew only when no such run can be open, and say so in the changelog.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.client import WorkflowHandle

from contracts.canonical import digest, run_id_for
from contracts.command import CommandRefusal, CommandRefused, EndRun, Pause, Resume
from contracts.event import EventOrigin, RunRequest
from contracts.outcome import OutcomeReason, RunReport
from contracts.vote import Verdict
from incidents.export import export_text, parse_history
from incidents.history import fetch_history
from settings.sources import ROOT
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import ENDPOINT, TENANT, Installation, installed
from tests.operating import obeyed, paused, release, resume_freed, switch_on
from tests.workflows.clerk import clerks
from tests.workflows.test_long_runs import impatient_temporal
from tests.workflows.test_safe_ends import SCRIPT
from tests.workflows.variants import MAY_CIRCLE, agents_with, models_with
from workflows.agent_run import AgentRun

__all__ = ["impatient_temporal"]

HISTORIES = Path(__file__).parent / "histories"
SMALL, LARGE, INJECTED = "TIC-2001", "TIC-2002", "TIC-2003"
LONG_STEPS = 12
NOT_ALLOWED = CommandRefused(refusal=CommandRefusal.NOT_ALLOWED)
Handle = WorkflowHandle[AgentRun, RunReport]


async def small(installation: Installation) -> Handle:
    """Inside every cap: runs alone."""
    return await installation.start({"ticket_id": SMALL})


async def approved(installation: Installation) -> Handle:
    """Two persons of finance countersign; the vote of somebody without a say is refused."""
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    await installation.vote(handle, request, "lena")
    await installation.vote(handle, request, "fay", reason="The photograph shows the crack")
    await installation.vote(handle, request, "finn")
    return handle


async def denied(installation: Installation) -> Handle:
    """One denial ends the asking; the agent hands over."""
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    await installation.vote(handle, request, "fay", verdict=Verdict.DENY, reason="No photograph of the damage")
    return handle


async def injected(installation: Installation) -> Handle:
    """A ticket whose text tells the model to refund somebody else."""
    return await installation.start({"ticket_id": INJECTED})


async def cancelled(installation: Installation) -> Handle:
    """Cancelled while it waits for people."""
    handle = await installation.start({"ticket_id": LARGE})
    await installation.open_request(handle)
    await handle.cancel()
    return handle


async def not_admitted(installation: Installation) -> Handle:
    """No accepted event vouches for it."""
    run_id = run_id_for(TENANT, ENDPOINT, "forged")
    origin = EventOrigin(endpoint=ENDPOINT, event_id="/helpdesk/acme#forged", body_digest=digest({}))
    return await installation.client.start_workflow(
        AgentRun.run,
        RunRequest(tenant=TENANT, run_id=run_id, agent="support_refund", origin=origin),
        id=run_id,
        task_queue=installation.settings.temporal_task_queue,
    )


async def lost_answer(installation: Installation) -> Handle:
    """The service acts and its answer is lost: the run finds out, and acts once."""
    installation.backoffice.plan_fault("timeout_after_effect")
    return await installation.start({"ticket_id": SMALL})


async def resumed(installation: Installation) -> Handle:
    """Halted by a switch, resumed when it is released; an order of somebody without the role is refused."""
    thrown = await switch_on(installation, "tool", "payments.issue_refund")
    handle = await installation.start({"ticket_id": SMALL})
    pause = await paused(handle)
    assert await obeyed(installation, handle, Resume(), roles=("view",)) == NOT_ALLOWED
    await release(installation, thrown)
    await resume_freed(installation, handle, pause.number)
    return handle


async def ended_paused(installation: Installation) -> Handle:
    """Paused by an operator while people decide, and ended."""
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    await obeyed(installation, handle, Pause())
    await installation.vote(handle, request, "fay", verdict=Verdict.DENY, reason="No photograph of the damage")
    await paused(handle)
    await obeyed(installation, handle, EndRun(), reason="the customer called")
    return handle


SCENES: dict[str, Callable[[Installation], Awaitable[Handle]]] = {
    "completed_small_refund": small,
    "completed_approved_refund": approved,
    "completed_lost_answer": lost_answer,
    "escalated_denied_refund": denied,
    "escalated_injected_ticket": injected,
    "cancelled_while_waiting": cancelled,
    "cancelled_while_paused": ended_paused,
    "completed_after_a_halt": resumed,
    "failed_safe_not_admitted": not_admitted,
}
"""File name, which begins with the outcome, and what happens."""


@pytest.mark.parametrize("name", SCENES)
async def test_record(installation: Installation, name: str) -> None:
    handle = await SCENES[name](installation)
    report = await handle.result()
    assert name.startswith(report.outcome.value)
    await _write(installation, handle.id, name)


async def test_record_a_run_of_several_executions(
    tmp_path: Path, database: DatabaseAddresses, impatient_temporal: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    limits = {"steps": LONG_STEPS, "tokens": 5_000_000, "tool_calls": 1_000, "loops": MAY_CIRCLE}
    async with installed(
        tmp_path, database.url, impatient_temporal, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, SCRIPT, limits=limits), models_file=models_with(tmp_path),
    ) as installation:  # fmt: skip
        handle = await installation.start({"ticket_id": SMALL, "mode": "loops"}, trusted=("ticket_id", "mode"))
        await handle.result()
        assert await _write(installation, handle.id, "escalated_long_run") > 1


CIRCLES = {
    "identical": ("look", {"identical": 3}),
    "alternating": ("turns", {"alternating": 2}),
    "errors": ("flaky", {"errors": 3}),
    "no_news": ("look", {"no_news": 3}),
    "no_progress": ("mixed", {"no_progress": 4}),
}
"""Kind of circle, mode of the clerk, and the limit that finds it."""


@pytest.mark.parametrize("kind", CIRCLES)
async def test_record_a_circle(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path], kind: str,
) -> None:  # fmt: skip
    mode, loops = CIRCLES[kind]
    async with clerks(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        limits={"loops": {**MAY_CIRCLE, **loops}}, of_tenant={"breaker": {"failures": 1_000}},
    ) as clerk:  # fmt: skip
        clerk.fails["flaky"] = 1_000
        report = await clerk.run(mode)
        assert report.reason is OutcomeReason.LOOP
        await _write(clerk.installation, report.run_id, f"escalated_circle_{kind}")


async def test_record_limits_that_were_met(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    of_run = {"tool_calls": 2, "on_exceeded": "ask", "loops": MAY_CIRCLE}
    async with clerks(
        tmp_path / "raised", database.url, temporal_address, backoffice, credential_key[0], limits=of_run
    ) as clerk:
        handle = await clerk.start("pay")
        request = await clerk.installation.open_request(handle)
        await clerk.installation.vote(handle, request, "lena")
        again = await clerk.installation.open_request(handle)
        await clerk.installation.vote(handle, again, "lena", verdict=Verdict.DENY, reason="That is enough")
        await handle.result()
        await _write(clerk.installation, handle.id, "escalated_raised_limit")
    async with clerks(
        tmp_path / "drafts", database.url, temporal_address, backoffice, credential_key[0],
        limits={"tool_calls": 5, "on_exceeded": "draft_only", "loops": MAY_CIRCLE},
    ) as clerk:  # fmt: skip
        report = await clerk.run("pay")
        await _write(clerk.installation, report.run_id, "completed_drafts_only")


async def _write(installation: Installation, run_id: str, name: str) -> int:
    """Write a run's file; how many executions it holds."""
    history = await fetch_history(installation.client, run_id)
    HISTORIES.mkdir(exist_ok=True)
    scrubbed = parse_history(_scrubbed(export_text(history)))
    (HISTORIES / f"{name}.json").write_text(export_text(scrubbed))
    return len(history.links)


def _scrubbed(text: str) -> str:
    """Without the name and the folders of the machine that recorded it: neither belongs to the contract."""
    without_host = re.sub(r'("identity": )"[^"]*"', r'\1"somebody@somewhere"', text)
    without_host = re.sub(r'("name": )"\d+@[^"]*"', r'\1"somewhere"', without_host)
    without_stacks = re.sub(r'("stackTrace": )"(?:[^"\\]|\\.)*"', r'\1""', without_host)
    return without_stacks.replace(str(ROOT), ".")
