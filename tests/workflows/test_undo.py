"""Taking runs back in the back office's books: planned from the ledger, ordered by an operator, under policy."""

import json
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.undo_plan import make_plan
from contracts.call import EffectState
from contracts.canonical import run_id_for
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.undo import UndoPlan, undo_identity_of
from store.accounts import NewAccount, add_account
from store.effects import list_effects
from store.runs import load_run
from store.undo import NewOrder, UndoOrder, find_order, order_undo
from tests.installation import PASSWORD, TENANT, Installation
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


async def ordered(
    installation: Installation, of_run: str, step: int | None = None, *, number: int = 0, plan: UndoPlan | None = None
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
    run_id = run_id_for(TENANT, "undo", of_run, str(number))
    new = NewOrder(
        run_id=run_id, agent=undo_identity_of("support_refund"), plan=plan, username="ulla", person="ulla", role="undo",
        reason="refunded by mistake",
    )  # fmt: skip
    assert await order_undo(installation.db, new) == "ordered"
    order = await find_order(installation.db, TENANT, run_id)
    assert order is not None
    await start_undo(installation.client, installation.settings.temporal_task_queue, order, store_wait_s=20)
    return installation.client.get_workflow_handle_for(AgentRun.run, run_id), order


async def ledger(installation: Installation, run_id: str) -> list[tuple[str, str]]:
    return [(str(row["tool"]), str(row["state"])) for row in await list_effects(installation.db, TENANT, run_id)]


def ticket_status(installation: Installation, ticket: str = SMALL) -> str:
    found: Any = installation.backoffice.admin("GET", "/tickets")
    (row,) = [row for row in found["tickets"] if row["ticket_id"] == ticket]
    return str(row["status"])


async def test_a_refund_and_a_ticket_are_taken_back_in_reverse_order(installation: Installation) -> None:
    handle = await finished_run(installation)
    done = await ledger(installation, handle.id)
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
    assert all(state == EffectState.SUCCEEDED for _, state in await ledger(installation, undo.id))
    row = await load_run(installation.db, TENANT, undo.id)
    assert row is not None
    assert (row["parent_run_id"], row["root_run_id"], row["agent"], row["on_behalf_of"]) == (
        handle.id, handle.id, "support_refund_undo", "ulla",
    )  # fmt: skip
    assert {item.verdict for item in (await plan_for(installation, handle.id)).items} == {"undone"}
    assert order.plan_digest
    assert json.loads(order.plan)["of_run"] == handle.id
