"""Taking runs back in the back office's books: planned from the ledger, ordered by an operator, under policy."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from activities.undo_plan import make_plan
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.canonical import digest, run_id_for
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.snapshot import RunSnapshot
from contracts.undo import UNDO_PLANNER, UndoPlan, undo_identity_of
from contracts.vote import Verdict
from incidents.history import fetch_history
from incidents.replay import Same, replay
from incidents.tell import tell
from store.accounts import NewAccount, add_account
from store.effects import list_effects
from store.run_facts import facts_of_run
from store.runs import load_run
from store.undo import NewOrder, UndoOrder, find_order, order_undo
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from workers.run_worker import run_worker
from workers.sweeper import Sweeper
from workers.undo_runs import start_undo
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("T5")
SMALL = "TIC-2001"
Handle = WorkflowHandle[AgentRun, RunReport]


async def finished_run(installation: Installation, ticket: str = SMALL) -> Handle:
    handle = await installation.start({"ticket_id": ticket})
    assert (await handle.result()).outcome is Outcome.COMPLETED
    return handle


async def plan_for(installation: Installation, run_id: str, step: int | None = None) -> UndoPlan:
    agent = installation.engine.registry.live("support_refund")
    assert agent is not None
    return await make_plan(installation.db, agent, TENANT, run_id, step)


def undo_run_id(of_run: str, number: int = 0) -> str:
    return run_id_for(TENANT, "undo", of_run, str(number))


async def ordered(
    installation: Installation,
    of_run: str,
    step: int | None = None,
    *,
    number: int = 0,
    plan: UndoPlan | None = None,
    start: bool = True,
) -> tuple[Handle, UndoOrder]:
    """An order of Ulla, who may undo, and its run."""
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute("select 1 from accounts where tenant = %s and username = 'ulla'", (TENANT,))
        if await cursor.fetchone() is None:
            account = NewAccount(
                tenant=TENANT, username="ulla", person="ulla", display_name="Ulla", groups=("support-leads",),
                roles=("view", "approve", "undo"),
            )  # fmt: skip
            await add_account(cursor, account, PASSWORD)
    plan = plan or await plan_for(installation, of_run, step)
    run_id = undo_run_id(of_run, number)
    new = NewOrder(
        run_id=run_id, agent=undo_identity_of("support_refund"), plan=plan, username="ulla", person="ulla", role="undo",
        reason="refunded by mistake",
    )  # fmt: skip
    assert await order_undo(installation.db, new) == "ordered"
    order = await find_order(installation.db, TENANT, run_id)
    assert order is not None
    if start:
        await start_undo(installation.client, installation.settings.temporal_task_queue, order, store_wait_s=20)
    return installation.client.get_workflow_handle_for(AgentRun.run, run_id), order


async def ledger(installation: Installation, run_id: str) -> list[tuple[str, str]]:
    return [(str(row["tool"]), str(row["state"])) for row in await list_effects(installation.db, TENANT, run_id)]


def ticket_status(installation: Installation, ticket: str = SMALL) -> str:
    (row,) = [row for row in installation.backoffice.books()["tickets"] if row["ticket_id"] == ticket]
    return str(row["status"])


async def test_a_refund_and_a_ticket_are_taken_back_in_reverse_order(installation: Installation) -> None:
    handle = await finished_run(installation)
    done = await ledger(installation, handle.id)
    assert ticket_status(installation) == "solved"
    plan = await plan_for(installation, handle.id)
    assert [item.tool for item in plan.items] == [tool for tool, _ in reversed(done)]
    undo, order = await ordered(installation, handle.id)
    request = await installation.open_request(undo)
    assert "ulla" in request.interested
    await installation.vote(undo, request, "lena")
    report = await undo.result()
    assert (report.outcome, report.reason) == (Outcome.COMPLETED, OutcomeReason.DONE), report
    (refund,) = installation.refunds()
    assert refund["status"] == "reversed"
    assert ticket_status(installation) == "open"
    assert all(state == EffectState.SUCCEEDED for _, state in await ledger(installation, undo.id))
    row = await load_run(installation.db, TENANT, undo.id)
    assert row is not None
    assert (row["parent_run_id"], row["root_run_id"], row["agent"], row["on_behalf_of"]) == (
        handle.id, handle.id, "support_refund_undo", "ulla",
    )  # fmt: skip
    assert {item.verdict for item in (await plan_for(installation, handle.id)).items} == {"undone"}
    assert order.plan_digest
    async with installation.db.tenant(TENANT) as cursor:
        told = await facts_of_run(cursor, TENANT, handle.id)
    assert {(deed.undone_by, deed.undone) for deed in told.deeds} == {(undo.id, EffectState.SUCCEEDED)}
    assert json.loads(order.plan)["of_run"] == handle.id


@pytest.mark.req("T5")
async def test_what_people_deny_stands_and_the_report_says_so(installation: Installation) -> None:
    handle = await finished_run(installation)
    undo, _ = await ordered(installation, handle.id)
    request = await installation.open_request(undo)
    assert request.requirement.needs
    await installation.vote(undo, request, "lena", verdict=Verdict.DENY, reason="the customer is owed this")
    report = await undo.result()
    assert (report.outcome, report.reason) == (Outcome.ESCALATED, OutcomeReason.HANDED_OVER)
    assert [refund["status"] for refund in installation.refunds()] == ["succeeded"]
    assert "Not taken back: payments.issue_refund" in report.content.summary
    assert "the customer is owed this" in report.content.summary
    # What nobody has to be asked about was taken back nevertheless.
    done = [tool for tool, state in await ledger(installation, undo.id) if state == EffectState.SUCCEEDED]
    assert "payments.reverse_refund" not in done
    packet = report.content.packet
    assert packet is not None
    # No model said that.
    assert "Undo it by hand" in packet.needed
    assert packet.model_asks == ""
    verdicts = {item.tool: item.verdict for item in (await plan_for(installation, handle.id)).items}
    assert verdicts["payments.issue_refund"] == "undo"


@pytest.mark.req("T5")
async def test_a_plan_that_the_ledger_has_left_behind_is_refused(installation: Installation) -> None:
    handle = await finished_run(installation)
    stale = await plan_for(installation, handle.id)
    undo, _ = await ordered(installation, handle.id)
    await installation.vote(undo, await installation.open_request(undo), "lena")
    assert (await undo.result()).outcome is Outcome.COMPLETED
    again, _ = await ordered(installation, handle.id, number=1, plan=stale)
    report = await again.result()
    assert (report.outcome, report.reason) == (Outcome.FAILED_SAFE, OutcomeReason.NOT_ADMITTED)
    assert len(installation.refunds()) == 1


@pytest.mark.req("T5", "T4")
async def test_a_doubt_must_be_cleared_before_it_can_be_undone(installation: Installation) -> None:
    handle = await finished_run(installation)
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "update effects set state = 'unknown' where run_id = %s and tool = 'payments.issue_refund'", (handle.id,)
        )
    plan = await plan_for(installation, handle.id)
    assert [item.tool for item in plan.in_doubt] == ["payments.issue_refund"]
    assert "effects resolve" in plan.in_doubt[0].why
    undo, _ = await ordered(installation, handle.id, plan=plan)
    assert (await undo.result()).reason is OutcomeReason.NOT_ADMITTED
    assert [refund["status"] for refund in installation.refunds()] == ["succeeded"]


@pytest.mark.req("T5", "D1")
async def test_an_undo_run_outlives_its_worker_and_a_lost_answer(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    """The worker ends while people are asked; under the next one the answer to the reversal is lost on its way."""
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], worker=False
    ) as installation:
        async with run_worker(installation.client, installation.engine):
            handle = await finished_run(installation)
            undo, _ = await ordered(installation, handle.id)
            request = await installation.open_request(undo)
        lost: JsonObject = {
            "method": "POST", "path_regex": "reversal$", "mode": "timeout_after_effect", "seconds": 1,
        }  # fmt: skip
        backoffice.admin("POST", "/faults", lost)
        async with run_worker(installation.client, installation.engine):
            await installation.vote(undo, request, "lena")
            report = await undo.result()
        assert (report.outcome, report.reason) == (Outcome.COMPLETED, OutcomeReason.DONE), report
        assert [refund["status"] for refund in installation.refunds()] == ["reversed"]


@pytest.mark.req("T5")
async def test_nobody_can_start_an_undo_that_no_operator_ordered(installation: Installation) -> None:
    handle = await finished_run(installation)
    plan = await plan_for(installation, handle.id)
    run_id = undo_run_id(handle.id, 7)
    forged = UndoOrder.model_validate(
        {
            "tenant": TENANT, "run_id": run_id, "of_run": handle.id, "of_step": None, "agent": "support_refund_undo",
            "username": "ulla", "person": "ulla", "reason": "because", "plan": plan.model_dump_json(),
            "plan_digest": digest(plan), "ordered_at": datetime.now(UTC), "started_at": None,
        }
    )  # fmt: skip
    await start_undo(installation.client, installation.settings.temporal_task_queue, forged, store_wait_s=20)
    report = await installation.client.get_workflow_handle_for(AgentRun.run, run_id).result()
    assert (report.outcome, report.reason) == (Outcome.FAILED_SAFE, OutcomeReason.NOT_ADMITTED)


@pytest.mark.req("T5")
async def test_the_history_of_an_undo_run_tells_and_replays(installation: Installation) -> None:
    handle = await finished_run(installation)
    undo, _ = await ordered(installation, handle.id)
    await installation.vote(undo, await installation.open_request(undo), "lena")
    await undo.result()
    history = await fetch_history(installation.client, undo.id)
    story = tell(history)
    assert [call.tool for step in story.steps for call in step.calls][-1] == "payments.reverse_refund"
    assert {turn.served_model for step in story.steps for turn in step.turns} == {UNDO_PLANNER}
    assert story.findings == ()
    assert isinstance(await replay(history), Same)


@pytest.mark.req("T5", "D1")
async def test_an_order_whose_giver_died_is_started_by_a_sweeper(installation: Installation) -> None:
    handle = await finished_run(installation)
    undo, _ = await ordered(installation, handle.id, start=False)
    sweeper = Sweeper(installation.engine, installation.client, lambda: [TENANT], look_every_s=0)
    assert (await sweeper.sweep(TENANT)).started == 1
    assert (await sweeper.sweep(TENANT)).started == 0
    await installation.vote(undo, await installation.open_request(undo), "lena")
    assert (await undo.result()).outcome is Outcome.COMPLETED
    assert [refund["status"] for refund in installation.refunds()] == ["reversed"]


@pytest.mark.req("T5", "T4")
async def test_of_two_orders_of_one_plan_one_has_an_effect(installation: Installation) -> None:
    handle = await finished_run(installation)
    plan = await plan_for(installation, handle.id)
    one, _ = await ordered(installation, handle.id, number=0, plan=plan)
    other, _ = await ordered(installation, handle.id, number=1, plan=plan)
    asked = [(undo, await installation.open_request(undo)) for undo in (one, other)]
    for undo, request in asked:
        await installation.vote(undo, request, "lena")
    await answer_until_it_ends(installation, one)
    await answer_until_it_ends(installation, other)
    entries = [*await ledger(installation, one.id), *await ledger(installation, other.id)]
    assert entries.count(("payments.reverse_refund", EffectState.SUCCEEDED)) == 1
    assert [refund["status"] for refund in installation.refunds()] == ["reversed"]


async def answer_until_it_ends(installation: Installation, undo: Handle) -> None:
    """Deny whatever is asked from now on."""

    async def ended() -> bool:
        return (await undo.describe()).status is not WorkflowExecutionStatus.RUNNING

    while not await ended():
        snapshot: RunSnapshot = await undo.query(AgentRun.snapshot)
        if snapshot.open_requests:
            request = await installation.open_request(undo)
            await installation.vote(undo, request, "lena", verdict=Verdict.DENY, reason="it is done")
