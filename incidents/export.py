"""A run as one file: its histories in Temporal's own JSON form, and beside them every payload as a readable value.

The file alone tells the whole run: `countersign runs show FILE` and `countersign replay FILE` need no server. Each
`history` can also be given to Temporal's own tools. The readable copies are for people and for tools without Temporal;
nothing of ours believes them: reading compares them with the history.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, JsonValue, ValidationError
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from contracts.base import JsonObject, Record
from incidents.history import BrokenHistoryError, RunHistory, checked
from incidents.payloads import UnreadablePayloadError, read_payloads, readable_event

__all__ = ["MAX_FILE_BYTES", "ExportFile", "export_text", "parse_history", "read_history"]

MAX_FILE_BYTES = 256 * 1024 * 1024
FORMAT: Literal["countersign-history-1"] = "countersign-history-1"


class ExportLink(Record):
    """One Temporal execution of the run."""

    temporal_run_id: str
    """Temporal's id of the execution."""
    history: dict[str, JsonValue]
    """Temporal's JSON form: what `WorkflowHistory.from_json` and the `temporal` command read."""
    readable: tuple[JsonObject, ...]
    """The events that carry payloads, with each payload as its JSON value."""


class ExportFile(Record):
    """The document that `countersign runs export` writes."""

    format: Literal["countersign-history-1"] = FORMAT
    run_id: str
    """The run; also the workflow id."""
    links: tuple[ExportLink, ...] = Field(min_length=1, max_length=1_000)
    """Executions of the run, each continuing the one before."""


def export_text(history: RunHistory) -> str:
    """The file's text.

    Raises:
        UnreadablePayloadError: a payload is encoded by a codec.
    """
    links = tuple(
        ExportLink(temporal_run_id=link.run_id, history=link.to_json_dict(), readable=_readable(link.events))
        for link in history.links
    )
    file = ExportFile(run_id=history.run_id, links=links)
    return json.dumps(file.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read_history(path: Path) -> RunHistory:
    """A history from a file: ours, or a plain export of Temporal's command, pages or SDK.

    Raises:
        BrokenHistoryError: it is none, or damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise BrokenHistoryError(f"it is larger than {MAX_FILE_BYTES} bytes")
    return parse_history(data)


def parse_history(data: bytes | str) -> RunHistory:
    """As `read_history`, from the file's content."""
    try:
        document: object = json.loads(data)
    except RecursionError as error:
        raise BrokenHistoryError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise BrokenHistoryError("it is no text") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise BrokenHistoryError(f"it is no whole JSON document: {error.msg} at {where}; perhaps it was cut") from error
    if not isinstance(document, dict):
        raise BrokenHistoryError("it holds no JSON object")
    found = cast("JsonObject", document)
    if "format" in found or "links" in found:
        return _ours(found)
    if "events" in found:
        link = _link("", found)
        return checked(RunHistory(_workflow_id(link), (link,)))
    raise BrokenHistoryError("it is neither an export of `countersign runs export` nor a history of Temporal")


def _ours(document: JsonObject) -> RunHistory:
    try:
        file = ExportFile.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BrokenHistoryError(f"it is no valid export: {where}: {first['msg']}") from error
    links = tuple(_link(file.run_id, link.history) for link in file.links)
    checked(RunHistory(file.run_id, links))
    denied: list[str] = []
    for link, exported in zip(links, file.links, strict=True):
        if _workflow_id(link) not in ("", file.run_id):
            denied.append(f"the history belongs to {_workflow_id(link)}, the file says {file.run_id}")
        if _readable(link.events) != exported.readable:
            denied.append("the readable copy of the payloads differs from the history")
    return RunHistory(file.run_id, links, contradictions=tuple(denied))


def _link(run_id: str, history: JsonObject) -> WorkflowHistory:
    try:
        return WorkflowHistory.from_json(run_id, cast("dict[str, object]", history))
    except Exception as error:  # the SDK rewrites the JSON by hand: anything can go wrong in it
        raise BrokenHistoryError(f"its events cannot be read: {str(error)[:200]}") from error


def _readable(events: Sequence[HistoryEvent]) -> tuple[JsonObject, ...]:
    return tuple(found for event in events if (found := readable_event(event)) is not None)


def _workflow_id(link: WorkflowHistory) -> str:
    """As the start of the workflow says; older servers did not write it, but the run's own input does."""
    if not link.events:
        return ""
    started = link.events[0].workflow_execution_started_event_attributes
    if started.workflow_id:
        return started.workflow_id
    try:
        values = read_payloads(started.input.payloads)
    except UnreadablePayloadError:
        return ""
    request = values[0] if values else None
    return str(request.get("run_id", "")) if isinstance(request, dict) else ""
