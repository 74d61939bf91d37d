"""A run's whole history: every Temporal execution that continues it, oldest first."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

__all__ = ["BrokenHistoryError", "HistoryGoneError", "RunHistory", "fetch_history"]

MAX_LINKS = 1_000
_RPC_TIMEOUT = timedelta(seconds=30)


class BrokenHistoryError(Exception):
    """What was read is no whole history of a run; the message says what is wrong with it."""


class HistoryGoneError(Exception):
    """Temporal holds no history of this run: it never had one, or its retention has passed."""


@dataclass(frozen=True)
class RunHistory:
    """Histories of a run's executions, each continuing the one before."""

    run_id: str
    """The run; also the workflow id of every link."""
    links: tuple[WorkflowHistory, ...]
    missing: tuple[str, ...] = ()
    """What is not there any more, in words. Empty for a whole history."""
    contradictions: tuple[str, ...] = ()
    """What a file says that its own history denies, in words."""

    @property
    def events(self) -> int:
        """How many events there are, over all links."""
        return sum(len(link.events) for link in self.links)

    @property
    def closed(self) -> bool:
        """Whether the last link has ended."""
        return bool(self.links) and self.links[-1].events[-1].event_type in _CLOSING


_CLOSING = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)


async def fetch_history(client: Client, run_id: str) -> RunHistory:
    """A run's history as Temporal holds it now; that of an open run ends where the run is.

    Raises:
        HistoryGoneError: Temporal knows no such workflow, or no longer.
        RPCError: Temporal cannot be reached.
    """
    links: list[WorkflowHistory] = []
    missing: list[str] = []
    execution: str | None = None
    for _ in range(MAX_LINKS):
        try:
            link = await client.get_workflow_handle(run_id, run_id=execution).fetch_history(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or _is_of_namespace(error):
                raise
            if not links:
                raise HistoryGoneError(f"Temporal holds no history of {run_id}") from error
            missing.append("earlier parts of the history are gone: their retention has passed")
            break
        links.insert(0, link)
        execution = link.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not execution:
            break
    return checked(RunHistory(run_id, tuple(links), tuple(missing)))


def _is_of_namespace(error: RPCError) -> bool:
    """Whether it is the namespace that is not there: a mistake in the settings, not a run that is gone."""
    details = error.grpc_status.details
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in details)


def checked(history: RunHistory) -> RunHistory:
    """The same history, when it is well formed.

    Raises:
        BrokenHistoryError: an event is missing or out of order, or a link continues no other.
    """
    if not history.links:
        raise BrokenHistoryError("it holds no events")
    before = ""
    for number, link in enumerate(history.links, 1):
        where = f"part {number}: " if len(history.links) > 1 else ""
        if not link.events or not link.events[0].HasField("workflow_execution_started_event_attributes"):
            raise BrokenHistoryError(f"{where}the first event is not the start of a workflow")
        for expected, event in enumerate(link.events, 1):
            if event.event_id != expected:
                raise BrokenHistoryError(
                    f"{where}event {expected} is missing; event {event.event_id} stands in its place"
                )
            if event.WhichOneof("attributes") is None:
                raise BrokenHistoryError(f"{where}event {expected} has lost its content")
        started = link.events[0].workflow_execution_started_event_attributes
        if number > 1 and started.continued_execution_run_id != before:
            raise BrokenHistoryError(f"part {number} does not continue part {number - 1}")
        before = link.run_id
    return history
