"""What a history says, without Temporal's bookkeeping: activities, signals, endings, each with its event. Pure.

Local activities leave one marker event, in the form that Temporal's core writes: `core_local_activity`, with the
result or failure, and a `data` payload that names the activity and its times. Their inputs are not recorded. What a
model call did beyond its own turn stands within its result, and is told as what it takes the place of: visits of short
reads as local visits, turns of the next steps as model calls.
"""

from collections.abc import Sequence
from typing import Literal, cast

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import JsonValue
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from contracts.base import JsonObject, Record
from contracts.run_activities import CALL_MODEL, EXECUTE_TOOL
from incidents.history import RunHistory
from incidents.payloads import read_payloads

__all__ = ["Activity", "Cancellation", "Fact", "Fault", "LinkEnded", "LinkStarted", "Signal", "Trouble", "facts_of"]

_LOCAL_ACTIVITY = "core_local_activity"
_NANOS = 1_000_000_000
_MILLIS = 1_000


class Fault(Record):
    """A failure as recorded, its innermost cause first in meaning."""

    kind: str
    """Type of the application error, or `timeout`, `cancelled`, `terminated`."""
    message: str


class Moment(Record):
    """Where a fact stands."""

    link: int
    """Number of the execution within the run, from 1."""
    event: int
    """Id of the event within the execution."""
    at_s: float
    """Unix seconds."""


class LinkStarted(Moment):
    """An execution of the run began."""

    kind: Literal["started"] = "started"
    workflow: str
    """Workflow type."""
    temporal_run_id: str
    input: JsonValue


class Activity(Moment):
    """An activity, from its scheduling to its end. `event` and `at_s` are those of its end, or of its scheduling."""

    kind: Literal["activity"] = "activity"
    name: str
    """Activity type."""
    activity_id: str
    local: bool
    within: bool = False
    """Whether the activity of a model call made it: it stands within that one's result."""
    input: JsonValue
    """What it was given; None for a local one."""
    scheduled_event: int
    """Event that scheduled it; of a local one its marker."""
    scheduled_at_s: float
    state: Literal["open", "done", "failed"]
    result: JsonValue
    fault: Fault | None
    """Of a failed one; of another, the last attempt's that failed."""
    attempts: int


class Signal(Moment):
    """A message to the run."""

    kind: Literal["signal"] = "signal"
    name: str
    input: JsonValue


class Cancellation(Moment):
    """Somebody asked for the run's end."""

    kind: Literal["cancellation"] = "cancellation"
    by: str
    """Identity of the client, as it called itself."""


class Trouble(Moment):
    """A workflow task failed or timed out; Temporal tries it again."""

    kind: Literal["trouble"] = "trouble"
    fault: Fault


class LinkEnded(Moment):
    """An execution of the run ended."""

    kind: Literal["ended"] = "ended"
    how: Literal["completed", "failed", "timed_out", "cancelled", "terminated", "continued"]
    result: JsonValue
    fault: Fault | None


Fact = LinkStarted | Activity | Signal | Cancellation | Trouble | LinkEnded


def facts_of(history: RunHistory) -> tuple[Fact, ...]:
    """Every fact, in the order in which the history settled it; activities that are open come last.

    Raises:
        UnreadablePayloadError: a payload is encoded.
    """
    found: list[Fact] = []
    for number, link in enumerate(history.links, 1):
        found.extend(_Link(number).read(link.events))
    return tuple(found)


class _Link:
    """Reads the events of one execution."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._open: dict[int, Activity] = {}

    def read(self, events: Sequence[HistoryEvent]) -> list[Fact]:
        facts = [fact for event in events for fact in self._facts(event)]
        return [*facts, *self._open.values()]

    def _facts(self, event: HistoryEvent) -> list[Fact]:
        fact = self._activity(event) or self._other(event)
        return [] if fact is None else _unfolded(fact)

    def _where(self, event: HistoryEvent) -> dict[str, object]:
        return {"link": self._number, "event": event.event_id, "at_s": _seconds(event.event_time)}

    def _activity(self, event: HistoryEvent) -> Activity | None:
        """The activity that an event ends; scheduling and starting are kept until then."""
        where = self._where(event)
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                self._open[event.event_id] = Activity.model_validate(
                    {
                        **where,
                        "name": scheduled.activity_type.name,
                        "activity_id": scheduled.activity_id,
                        "local": False,
                        "input": _first(scheduled.input.payloads),
                        "scheduled_event": event.event_id,
                        "scheduled_at_s": where["at_s"],
                        "state": "open",
                        "result": None,
                        "fault": None,
                        "attempts": 0,
                    }
                )
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                last = fault_of(started.last_failure) if started.HasField("last_failure") else None
                known = self._open[started.scheduled_event_id]
                update = {"attempts": started.attempt, "fault": last}
                self._open[started.scheduled_event_id] = known.model_copy(update=update)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                return self._ended(
                    done.scheduled_event_id, {**where, "state": "done", "result": _first(done.result.payloads)}
                )
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                return self._ended(
                    failed.scheduled_event_id, {**where, "state": "failed", "fault": fault_of(failed.failure)}
                )
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                return self._ended(
                    late.scheduled_event_id, {**where, "state": "failed", "fault": fault_of(late.failure)}
                )
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                stopped = event.activity_task_canceled_event_attributes
                fault = Fault(kind="cancelled", message="cancelled")
                return self._ended(stopped.scheduled_event_id, {**where, "state": "failed", "fault": fault})
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                return self._local(event)
            case _:
                pass
        return None

    def _ended(self, scheduled: int, update: dict[str, object]) -> Activity:
        return self._open.pop(scheduled).model_copy(update=update)

    def _local(self, event: HistoryEvent) -> Activity | None:
        marker = event.marker_recorded_event_attributes
        if marker.marker_name != _LOCAL_ACTIVITY:
            return None
        about = cast("JsonObject", _first(marker.details["data"].payloads))
        failed = marker.HasField("failure")
        return Activity.model_validate(
            {
                **self._where(event),
                "at_s": _core_seconds(about.get("complete_time")),
                "name": about["activity_type"],
                "activity_id": about["activity_id"],
                "local": True,
                "input": None,
                "scheduled_event": event.event_id,
                "scheduled_at_s": _core_seconds(about.get("original_schedule_time")),
                "state": "failed" if failed else "done",
                "result": None if failed else _first(marker.details["result"].payloads),
                "fault": fault_of(marker.failure) if failed else None,
                "attempts": about.get("attempt", 1),
            }
        )

    def _other(self, event: HistoryEvent) -> Fact | None:
        where = self._where(event)
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                started = event.workflow_execution_started_event_attributes
                about = {"workflow": started.workflow_type.name, "temporal_run_id": started.original_execution_run_id}
                return LinkStarted.model_validate({**where, **about, "input": _first(started.input.payloads)})
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                signal = event.workflow_execution_signaled_event_attributes
                return Signal.model_validate(
                    {**where, "name": signal.signal_name, "input": _first(signal.input.payloads)}
                )
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                asked = event.workflow_execution_cancel_requested_event_attributes
                return Cancellation.model_validate({**where, "by": asked.identity})
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                failed = event.workflow_task_failed_event_attributes
                return Trouble.model_validate({**where, "fault": fault_of(failed.failure)})
            case _:
                return self._end(event)

    def _end(self, event: HistoryEvent) -> LinkEnded | None:
        ended: dict[str, object] = {**self._where(event), "result": None, "fault": None}
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                result = event.workflow_execution_completed_event_attributes.result
                ended |= {"how": "completed", "result": _first(result.payloads)}
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                failure = event.workflow_execution_failed_event_attributes.failure
                ended |= {"how": "failed", "fault": fault_of(failure)}
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
                ended |= {"how": "timed_out"}
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
                ended |= {"how": "cancelled"}
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
                reason = event.workflow_execution_terminated_event_attributes.reason
                ended |= {"how": "terminated", "fault": Fault(kind="terminated", message=reason or "no reason given")}
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                ended |= {"how": "continued"}
            case _:
                return None
        return LinkEnded.model_validate(ended)


def fault_of(failure: Failure) -> Fault:
    """The failure itself: an activity's failure wraps what really happened, and so does a timeout of all attempts."""
    while failure.HasField("cause") and not failure.HasField("application_failure_info"):
        failure = failure.cause
    if failure.HasField("application_failure_info"):
        return Fault(kind=failure.application_failure_info.type or "error", message=failure.message)
    if failure.HasField("timeout_failure_info"):
        what = TimeoutType.Name(failure.timeout_failure_info.timeout_type).removeprefix("TIMEOUT_TYPE_")
        return Fault(kind="timeout", message=what.lower().replace("_", " "))
    kind = "cancelled" if failure.HasField("canceled_failure_info") else "error"
    return Fault(kind=kind, message=failure.message)


def _first(payloads: Sequence[Payload]) -> JsonValue:
    values = read_payloads(payloads)
    return values[0] if values else None


def _unfolded(fact: Fact) -> list[Fact]:
    """A fact with what stands within it: the further turns of a model call, and the visits that each turn made."""
    if not (isinstance(fact, Activity) and fact.name == CALL_MODEL.name and isinstance(fact.result, dict)):
        return [fact]
    turns = [fact.result, *cast("list[JsonObject]", fact.result.get("then", []))]
    asked = cast("JsonObject", fact.input)
    ends_s = fact.at_s - sum(cast("int", turn.get("took_ms", 0)) for turn in turns[1:]) / _MILLIS
    found: list[Fact] = []
    for after, turn in enumerate(turns):
        took_s = cast("int", turn.get("took_ms", 0)) / _MILLIS
        update: dict[str, object] = {"at_s": ends_s, "result": {**turn, "then": []}}
        if after:
            step = cast("int", asked["step"]) + after
            update |= {
                "activity_id": f"s{step}-model",
                "within": True,
                "input": {**asked, "step": step},
                "scheduled_event": fact.event,
                "scheduled_at_s": ends_s - took_s,
                "fault": None,
                "attempts": 1,
            }
        one = fact.model_copy(update=update)
        found += [one, *_visits_within(one, turn)]
        ends_s += cast("int", turns[after + 1].get("took_ms", 0)) / _MILLIS if after + 1 < len(turns) else 0
    return found


def _visits_within(made_by: Activity, turn: JsonObject) -> list[Fact]:
    """The visits that a model call made with its answer."""
    return [
        made_by.model_copy(
            update={
                "name": EXECUTE_TOOL.name,
                "activity_id": f"s{visit['step']}-c{visit['call']}-v{visit['visit']}",
                "local": True,
                "within": True,
                "input": None,
                "scheduled_event": made_by.event,
                "scheduled_at_s": made_by.at_s,
                "result": visit,
                "fault": None,
                "attempts": 1,
            }
        )
        for visit in cast("list[JsonObject]", turn.get("visits", []))
    ]


def _seconds(time: Timestamp) -> float:
    return time.seconds + time.nanos / _NANOS


def _core_seconds(value: JsonValue) -> float:
    if not isinstance(value, dict):
        return 0.0
    seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
    return float(cast("int", seconds)) + cast("int", nanos) / _NANOS
