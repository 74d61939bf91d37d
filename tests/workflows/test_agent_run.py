"""Whole runs on the real store, the real Temporal server and the real back office."""

import asyncio
import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from activities.close_run import close_run
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.canonical import digest, run_id_for
from contracts.command import CommandAccepted, EndRun
from contracts.event import EventOrigin, RunRequest
from contracts.model import ModelChoice, Provider
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.run_activities import CloseRun
from contracts.vote import Verdict, VoteAccepted, VoteRefusal, VoteRefused
from settings import Settings
from store.database import Database
from store.effects import list_effects
from store.runs import Closing, begin_closing, load_run
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import Installation, installed
from tests.operating import freed, obeyed, paused, resume_freed, soon, switch_on
from workers.run_worker import run_worker
from workflows.agent_run import AgentRun

SMALL, LARGE, HUGE, INJECTED = "TIC-2001", "TIC-2006", "TIC-2002", "TIC-2003"
CANCEL_REQUESTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
Handle = WorkflowHandle[AgentRun, RunReport]


def ended(report: RunReport) -> tuple[Outcome, OutcomeReason]:
    return report.outcome, report.reason


def orders(refunds: list[JsonObject]) -> list[object]:
    return [refund["order_id"] for refund in refunds]


@pytest.mark.req("D2")
async def test_a_small_refund_runs_alone_and_happens_once(installation: Installation) -> None:
    report = await (await installation.start({"ticket_id": SMALL})).result()
    assert ended(report) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert orders(installation.refunds()) == ["ORD-1001"]
    assert report.totals.effects >= 1


@pytest.mark.req("A1")
async def test_a_large_refund_waits_for_a_person_and_then_happens_once(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    assert installation.refunds() == []
    assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
    report = await handle.result()
    assert ended(report) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert orders(installation.refunds()) == ["ORD-1007"]


@pytest.mark.req("A4")
async def test_a_huge_refund_takes_two_distinct_persons(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": HUGE})
    request = await installation.open_request(handle)
    assert isinstance(await installation.vote(handle, request, "fay"), VoteAccepted)
    assert await installation.vote(handle, request, "finn", same_person_as="fay") == VoteRefused(
        refusal=VoteRefusal.SAME_PERSON
    )
    assert installation.refunds() == []
    assert isinstance(await installation.vote(handle, request, "finn"), VoteAccepted)
    assert ended(await handle.result()) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert orders(installation.refunds()) == ["ORD-1002"]


@pytest.mark.req("A1")
async def test_a_denied_refund_does_not_happen(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    answer = await installation.vote(handle, request, "lena", verdict=Verdict.DENY, reason="No photo of the damage")
    assert isinstance(answer, VoteAccepted)
    report = await handle.result()
    assert report.outcome is Outcome.ESCALATED
    assert installation.refunds() == []


@pytest.mark.req("A4")
@pytest.mark.parametrize(
    ("person", "changes", "refusal"),
    [
        ("eve", {}, VoteRefusal.NOT_ELIGIBLE),
        ("fay", {}, VoteRefusal.NOT_YET),
        ("lena", {"digest": digest("something else")}, VoteRefusal.WRONG_DIGEST),
        ("lena", {"expires_at": 1}, VoteRefusal.EXPIRED),
    ],
)
async def test_a_vote_that_does_not_count_changes_nothing(
    installation: Installation, person: str, changes: dict[str, Any], refusal: VoteRefusal
) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    answer = await installation.vote(handle, request, person, **changes)
    assert answer == VoteRefused(refusal=refusal)
    assert (await handle.query(AgentRun.snapshot)).open_requests == (request.request_id,)
    await handle.cancel()
    await handle.result()
    assert installation.refunds() == []


@pytest.mark.req("P8")
async def test_an_injected_ticket_moves_nobody_elses_money(installation: Installation) -> None:
    report = await (await installation.start({"ticket_id": INJECTED})).result()
    assert report.outcome is Outcome.ESCALATED
    assert installation.refunds() == []
    assert report.content.packet is not None
    assert any("support-refund-own-order" in line for line in report.content.packet.blocked_by)
    # What it asks of the person may be an outsider's words: they are told as the model's.
    assert "make it by hand" in report.content.packet.model_asks
    assert "make it by hand" not in report.content.packet.needed


@pytest.mark.req("D2")
async def test_a_cancelled_run_says_so_and_does_nothing_more(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    await installation.open_request(handle)
    await handle.cancel()
    assert ended(await handle.result()) == (Outcome.CANCELLED, OutcomeReason.REQUESTED)
    assert installation.refunds() == []


@pytest.mark.req("D2")
async def test_a_run_that_is_cancelled_before_it_begins_has_a_record_of_doing_nothing(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    async with installed(tmp_path, database.url, temporal_address, backoffice, credential_key[0], worker=False) as made:
        handle = await made.start({"ticket_id": SMALL})
        await handle.cancel()
        async with run_worker(made.client, made.engine):
            assert ended(await handle.result()) == (Outcome.CANCELLED, OutcomeReason.REQUESTED)
        row = await load_run(made.db, "acme", handle.id)
    assert row is not None
    assert (row["outcome"], row["closed"], row["steps"]) == ("cancelled", True, 0)


@pytest.mark.req("D2")
async def test_who_cancels_a_run_while_it_is_closed_comes_too_late(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, cancelled = asyncio.Event(), asyncio.Event()

    async def held(db: Database, tenant: str, run_id: str, step: int) -> Closing:
        closing.set()
        await cancelled.wait()
        return await begin_closing(db, tenant, run_id, step)

    async def told() -> bool | None:
        kinds = [event.event_type async for event in handle.fetch_history_events()]
        after = kinds[kinds.index(CANCEL_REQUESTED) :] if CANCEL_REQUESTED in kinds else []
        return EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED in after or None

    monkeypatch.setattr("activities.close_run.begin_closing", held)
    request = await installation.accepted({"ticket_id": SMALL})
    queue, short = installation.settings.temporal_task_queue, timedelta(seconds=2)
    handle = await installation.client.start_workflow(
        AgentRun.run, request, id=request.run_id, task_queue=queue, task_timeout=short
    )
    await closing.wait()
    await handle.cancel()
    # The run is told with its next workflow task: the one before lasts until Temporal asks how its closing is going.
    await soon(told, "the run was not told that it is cancelled")
    assert (await handle.query(AgentRun.snapshot)).phase == "closing"
    cancelled.set()
    report = await handle.result()
    row = await load_run(installation.db, "acme", handle.id)
    assert row is not None
    assert (report.outcome.value, row["outcome"], row["closed"]) == ("completed", "completed", True)


@pytest.mark.req("D1", "O1")
async def test_a_run_is_closed_once_and_told_of_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def tell(request: CloseRun, *_: object) -> None:
        told.append(request.run_id)

    monkeypatch.setattr("activities.close_run.run_ended", tell)
    handle = await installation.start({"ticket_id": SMALL})
    report = await handle.result()
    row = await load_run(installation.db, "acme", handle.id)
    assert row is not None
    repeated = CloseRun.model_validate(
        {"tenant": "acme", "run_id": handle.id, "definition": row["definition"], "outcome": "failed_safe",
         "reason": "engine_fault", "last_step": report.totals.steps}
    )  # fmt: skip
    assert await close_run(installation.engine, repeated) == report
    assert told == [handle.id]


@pytest.mark.req("E2")
async def test_a_run_that_no_event_vouches_for_ends_before_it_begins(installation: Installation) -> None:
    run_id = run_id_for("acme", "support-tickets", uuid.uuid4().hex)
    origin = EventOrigin(endpoint="support-tickets", event_id="/helpdesk/acme#forged", body_digest=digest({}))
    request = RunRequest(tenant="acme", run_id=run_id, agent="support_refund", origin=origin)
    report = await installation.client.execute_workflow(
        AgentRun.run, request, id=run_id, task_queue=installation.settings.temporal_task_queue
    )
    assert ended(report) == (Outcome.FAILED_SAFE, OutcomeReason.NOT_ADMITTED)


@pytest.mark.req("B1")
async def test_a_run_with_a_model_that_nobody_can_price_ends_before_it_begins(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpriced(names: Iterable[str], _settings: Settings) -> dict[str, ModelChoice]:
        return {name: ModelChoice(name=name, provider=Provider.OPENAI, model="nobody-1-2026-01-01") for name in names}

    monkeypatch.setattr("activities.pin_agent.resolve", unpriced)
    report = await (await installation.start({"ticket_id": SMALL})).result()
    assert ended(report) == (Outcome.FAILED_SAFE, OutcomeReason.NOT_ADMITTED)
    assert "no price is known for nobody-1-2026-01-01 of openai" in report.model_dump_json()


@pytest.mark.req("T4")
@pytest.mark.parametrize("mode", ["timeout_before_effect", "timeout_after_effect", "status_500_after", "status_429"])
async def test_a_refund_whose_answer_is_lost_happens_once(installation: Installation, mode: str) -> None:
    installation.backoffice.plan_fault(mode)
    handle = await installation.start({"ticket_id": SMALL})
    assert ended(await handle.result()) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert orders(installation.refunds()) == ["ORD-1001"]
    states = [effect["state"] for effect in await list_effects(installation.db, "acme", handle.id)]
    assert set(states) == {EffectState.SUCCEEDED}


@pytest.mark.req("H8")
@pytest.mark.parametrize(
    ("scope", "target"), [("tenant", "*"), ("agent", "support_refund"), ("tool", "crm.read_ticket")]
)
async def test_a_kill_switch_stops_the_next_call(installation: Installation, scope: str, target: str) -> None:
    await switch_on(installation, scope, target)
    handle = await installation.start({"ticket_id": SMALL})
    assert (await paused(handle)).detail.endswith(f"{scope}:{target}")
    await obeyed(installation, handle, EndRun())
    assert ended(await handle.result()) == (Outcome.CANCELLED, OutcomeReason.REQUESTED)
    assert installation.refunds() == []


@pytest.mark.req("I1")
async def test_disabling_the_agent_stops_its_next_call(installation: Installation) -> None:
    async with installation.db.tenant("acme") as cursor:
        await cursor.execute("update agent_states set enabled = false, version = version + 1 where tenant = 'acme'")
    handle = await installation.start({"ticket_id": SMALL})
    assert (await paused(handle)).detail.endswith("agent support_refund is disabled")
    assert await freed(installation) == []
    async with installation.db.tenant("acme") as cursor:
        await cursor.execute(
            "update agent_states set enabled = true, version = version + 1, changed_by = 'ada' where tenant = 'acme'"
        )
    assert await freed(installation) == [(handle.id, 1, "ada")]
    assert await resume_freed(installation, handle, 1, "ada") == CommandAccepted()
    assert ended(await handle.result()) == (Outcome.COMPLETED, OutcomeReason.DONE)


@pytest.mark.req("T4")
async def test_a_second_run_on_the_same_ticket_asks_before_it_refunds_again(installation: Installation) -> None:
    await (await installation.start({"ticket_id": SMALL})).result()
    handle = await installation.start({"ticket_id": SMALL})
    request = await installation.open_request(handle)
    assert "repeated" in request.view
    await handle.cancel()
    await handle.result()
    assert orders(installation.refunds()) == ["ORD-1001"]
