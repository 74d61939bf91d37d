"""Start the run of an undo order. Doing it again is harmless: the workflow id is the run id."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from contracts.event import RunRequest, UndoOrigin
from store.undo import UndoOrder

__all__ = ["start_undo"]

WORKFLOW = "UndoRun"
START_TIMEOUT_S = 10.0
_TENANT = SearchAttributeKey.for_keyword("TenantId")
_AGENT = SearchAttributeKey.for_keyword("AgentName")


async def start_undo(client: Client, task_queue: str, order: UndoOrder, *, store_wait_s: int) -> None:
    """Start it, or find it started.

    Raises:
        RPCError, OSError: Temporal did not take it; nothing is known of a request under way.
    """
    request = RunRequest(
        tenant=order.tenant,
        run_id=order.run_id,
        agent=order.agent,
        origin=UndoOrigin(run_id=order.of_run, plan_digest=order.plan_digest),
        on_behalf_of=order.username,
        store_wait_s=store_wait_s,
    )
    try:
        await client.start_workflow(
            WORKFLOW,
            request,
            id=order.run_id,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(_TENANT, order.tenant), SearchAttributePair(_AGENT, order.agent)]
            ),
            priority=Priority(fairness_key=order.tenant),
            rpc_timeout=timedelta(seconds=START_TIMEOUT_S),
        )
    except WorkflowAlreadyStartedError:
        return
