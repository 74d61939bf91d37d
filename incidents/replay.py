"""Run a recorded history through today's workflow code, and compare what was recorded with what it would do now."""

import asyncio
import logging
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Literal

from pydantic import Field
from temporalio.client import WorkflowHistory
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.workflow import NondeterminismError

from contracts.base import Record
from contracts.call import CallResult
from contracts.canonical import digest
from contracts.run_activities import EXECUTE_TOOL
from incidents.facts import Activity, LinkEnded, facts_of
from incidents.history import BrokenHistoryError, RunHistory
from incidents.payloads import UnreadablePayloadError
from incidents.story import Finding
from incidents.tell import tell
from incidents.watch import Asked, Watch
from settings.payloads import DATA_CONVERTER
from workflows.sandbox import WORKFLOWS, sandbox

__all__ = ["Altered", "Corrupted", "Diverged", "ReplayVerdict", "Same", "replay"]

_NONDETERMINISM = "[TMPRL1100] Nondeterminism error: "
_LIMIT_S = 300
"""How long one execution may take; 51,200 events, Temporal's limit, take about 30 s."""
_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)*)"')
_EVENT = re.compile(r"HistoryEvent\(id: (\d+), (\w+)\)")
_FAULT_TYPE = re.compile(r'r#type: "(\w+)"')


class Same(Record):
    """Today's code does exactly what was recorded, and the recorded values agree with each other."""

    kind: Literal["same"] = "same"
    links: int
    events: int
    inputs: int
    """Inputs of activities that were made again and compared."""
    closed: bool
    """False for a run that is still open: it is the same up to here."""


class Diverged(Record):
    """Today's code does something else."""

    kind: Literal["diverged"] = "diverged"
    link: int
    """Number of the execution within the run, from 1."""
    event: int | None
    """Id of the first event that the code does not lead to; None when the code itself failed."""
    expected: str
    """What was recorded, in words."""
    actual: str
    """What the code does, in words."""
    detail: str
    """What Temporal says."""


class Altered(Record):
    """The recorded values contradict each other: somebody or something changed the history."""

    kind: Literal["altered"] = "altered"
    findings: tuple[Finding, ...]
    contradictions: tuple[str, ...]


class Corrupted(Record):
    """There is no whole history to replay."""

    kind: Literal["corrupted"] = "corrupted"
    reason: str


ReplayVerdict = Annotated[Same | Diverged | Altered | Corrupted, Field(discriminator="kind")]


async def replay(
    history: RunHistory, *, workflows: Sequence[type] = WORKFLOWS, runner: WorkflowRunner | None = None
) -> ReplayVerdict:
    """Replay every execution of a run. Needs no server and no database; has no effect.

    Args:
        history: as fetched or read from a file.
        workflows: the code to replay with.
        runner: where the code runs; by default the workers' sandbox.
    """
    try:
        story = tell(history)
    except (BrokenHistoryError, UnreadablePayloadError) as error:
        return Corrupted(reason=str(error))
    if story.findings or story.contradictions:
        return Altered(findings=story.findings, contradictions=story.contradictions)
    inputs = 0
    for number, link in enumerate(history.links, 1):
        watch = Watch()
        failure = await _replayed(link, watch, workflows, runner or sandbox())
        found = _explain(number, link, watch, failure) if failure else _compare(number, link, watch)
        if found is not None:
            return found
        inputs += len(watch.asked)
    return Same(links=len(history.links), events=history.events, inputs=inputs, closed=history.closed)


async def _replayed(
    link: WorkflowHistory, watch: Watch, workflows: Sequence[type], runner: WorkflowRunner
) -> Exception | None:
    """Why it does not replay, or None."""
    replayer = Replayer(
        workflows=workflows,
        workflow_runner=runner,
        data_converter=DATA_CONVERTER,
        interceptors=[watch],
        runtime=_silent(),
    )
    with _quiet():
        try:
            result = await asyncio.wait_for(replayer.replay_workflow(link, raise_on_replay_failure=False), _LIMIT_S)
        except TimeoutError as error:
            return error
    return result.replay_failure


@cache
def _silent() -> Runtime:
    """A runtime of Temporal's core that writes no log: a divergence is our result, not a line on the terminal."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


@contextmanager
def _quiet() -> Generator[None]:
    """The same for the SDK's Python part."""
    logger = logging.getLogger("temporalio")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _activities(number: int, link: WorkflowHistory) -> list[Activity]:
    """Activities that the code of one execution asked for, in the order in which they were scheduled."""
    facts = [fact for fact in facts_of(RunHistory("", (link,))) if isinstance(fact, Activity) and not fact.within]
    found = [fact.model_copy(update={"link": number}) for fact in facts]
    return sorted(found, key=lambda fact: fact.scheduled_event)


def _compare(number: int, link: WorkflowHistory, watch: Watch) -> Diverged | None:
    """Inputs that the code makes now against the recorded ones, and its result."""
    asked = {one.activity_id: one for one in watch.asked}
    for fact in _activities(number, link):
        now = asked.get(fact.activity_id)
        recorded = _input_digest(fact)
        if now is not None and recorded is not None and now.input_digest != recorded:
            return Diverged(
                link=number,
                event=fact.scheduled_event,
                expected=f"{fact.name} ({fact.activity_id}) with the input {recorded[:19]}",
                actual=f"{now.name} ({now.activity_id}) with the input {now.input_digest[:19]}",
                detail="the workflow's code gives an activity another input than the recorded one",
            )
    ends = [
        fact for fact in facts_of(RunHistory("", (link,))) if isinstance(fact, LinkEnded) and fact.how == "completed"
    ]
    if ends and watch.result_digest is not None and watch.result_digest != digest(ends[0].result):
        return Diverged(
            link=number,
            event=ends[0].event,
            expected=f"the result {digest(ends[0].result)[:19]}",
            actual=f"the result {watch.result_digest[:19]}",
            detail="the workflow's code ends with another result than the recorded one",
        )
    return None


def _input_digest(fact: Activity) -> str | None:
    if not fact.local:
        return digest(fact.input)
    if fact.name == EXECUTE_TOOL.name and fact.state == "done":
        return CallResult.model_validate(fact.result).input_digest
    return None


def _explain(number: int, link: WorkflowHistory, watch: Watch, failure: Exception) -> Diverged:
    text = str(failure)
    match = _MESSAGE.search(text)
    message = (match.group(1).replace('\\"', '"') if match else text) or type(failure).__name__
    told = message.removeprefix(_NONDETERMINISM)
    fault = _FAULT_TYPE.search(text)
    if fault and fault.group(1):
        told = f"{fault.group(1)}: {told}"
    event, expected = _expected(link, told, watch.asked, _activities(number, link))
    return Diverged(
        link=number,
        event=event,
        expected=expected,
        actual=_actual(number, link, watch, told, failure),
        detail=told[:500],
    )


def _expected(
    link: WorkflowHistory, told: str, asked: Sequence[Asked], recorded: Sequence[Activity]
) -> tuple[int | None, str]:
    """The first recorded event that the code does not lead to."""
    named = _EVENT.search(told)
    if named:
        return int(named.group(1)), _event_in_words(link, int(named.group(1)), named.group(2), recorded)
    made = {(one.name, one.activity_id) for one in asked}
    for fact in recorded:
        if (fact.name, fact.activity_id) not in made:
            return fact.scheduled_event, f"activity {fact.name} ({fact.activity_id})"
    last = link.events[-1]
    return last.event_id, "the recorded end of the history"


def _event_in_words(link: WorkflowHistory, event_id: int, kind: str, recorded: Sequence[Activity]) -> str:
    fact = next((fact for fact in recorded if event_id in (fact.scheduled_event, fact.event)), None)
    if fact is not None:
        return f"activity {fact.name} ({fact.activity_id})"
    event = next((event for event in link.events if event.event_id == event_id), None)
    if event is not None and event.HasField("timer_started_event_attributes"):
        return f"a timer of {event.timer_started_event_attributes.start_to_fire_timeout.ToSeconds()} s"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind).lower()


def _actual(number: int, link: WorkflowHistory, watch: Watch, told: str, failure: Exception) -> str:
    """What the code does instead: Temporal names it only sometimes."""
    recorded = [(fact.name, fact.activity_id) for fact in _activities(number, link)]
    asked = [(one.name, one.activity_id) for one in watch.asked]
    new = [one for one in asked if one not in recorded]
    moved = [one for one, then in zip(asked, recorded, strict=False) if one != then]
    if new or moved:
        name, activity_id = (new or moved)[0]
        return f"activity {name} ({activity_id})"
    if watch.result_digest is not None:
        return "the end of the workflow"
    if isinstance(failure, NondeterminismError):
        return "nothing of the kind"
    return f"a failure of the workflow's code: {told[:200]}"
