"""Start the run of one accepted event. Doing it again is harmless: the workflow id is the run id."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import ValidationError
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
from temporalio.service import RPCError, RPCStatusCode

from contracts.event import EventOrigin, RunRequest
from store.inbox import WaitingRow

__all__ = ["START_TIMEOUT_S", "Engine", "Hopeless", "NotNow", "StartOutcome", "Started", "start_run"]

START_TIMEOUT_S = 10.0
"""Longest wait for Temporal's answer, the SDK's own retries included."""
WORKFLOW = "AgentRun"
_TENANT = SearchAttributeKey.for_keyword("TenantId")
_AGENT = SearchAttributeKey.for_keyword("AgentName")


@dataclass(frozen=True)
class Engine:
    """Where runs are started."""

    client: Client
    task_queue: str
    store_wait_s: int
    """Longest wait of a run for a store that is down, in seconds."""


@dataclass(frozen=True)
class Started:
    """The run exists, started now or before."""


@dataclass(frozen=True)
class NotNow:
    """Temporal did not take it; nothing is known of a request under way."""

    error: str


@dataclass(frozen=True)
class Hopeless:
    """Temporal will refuse this row however often it is sent."""

    error: str


StartOutcome = Started | NotNow | Hopeless


async def start_run(engine: Engine, row: WaitingRow) -> StartOutcome:
    """Start the workflow of a row with a deterministic id.

    A workflow of that id that is running is taken for ours; one that is closed makes the server refuse, which says the
    same. After Temporal's retention the inbox row alone prevents a second run: it stays `started`.
    """
    try:
        request = _request(engine, row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return Hopeless(f"the row does not make a run request: {first['loc'][-1]}: {first['msg']}")
    try:
        await engine.client.start_workflow(
            WORKFLOW,
            request,
            id=row.run_id,
            task_queue=engine.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(_TENANT, row.tenant), SearchAttributePair(_AGENT, row.agent)]
            ),
            priority=Priority(fairness_key=row.tenant),
            rpc_timeout=timedelta(seconds=START_TIMEOUT_S),
        )
    except WorkflowAlreadyStartedError:
        return Started()
    except RPCError as error:
        # Only what is wrong with this one request is hopeless. A wrong key or namespace concerns every row and is
        # mended from outside: those rows wait.
        text = f"Temporal: {error.status.name}: {' '.join(error.message.split())}"
        return Hopeless(text) if error.status is RPCStatusCode.INVALID_ARGUMENT else NotNow(text)
    except (OSError, RuntimeError) as error:
        return NotNow(f"Temporal: {type(error).__name__}: {' '.join(str(error).split())}")
    return Started()


def _request(engine: Engine, row: WaitingRow) -> RunRequest:
    return RunRequest(
        tenant=row.tenant,
        run_id=row.run_id,
        agent=row.agent,
        origin=EventOrigin(endpoint=row.endpoint, event_id=row.event_id, body_digest=row.body_digest),
        on_behalf_of=row.on_behalf_of,
        store_wait_s=engine.store_wait_s,
    )
