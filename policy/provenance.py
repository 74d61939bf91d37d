"""Where the value of an argument came from, found by comparing it with every value that entered the run.

A match proves that the same value stood there, not that the model took it from there: a person's name or a small
number can match by chance. Labels are computed from recorded values only, so the same run gives the same labels.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject, Record
from contracts.tool import Label

__all__ = ["Origin", "RecordedValue", "Trace", "recorded_values", "trace_arguments"]

_MIN_TEXT_MATCH = 4
"""Shorter values are not searched inside untrusted text: they match by chance."""
_MAX_VALUES = 20_000


class Origin(StrEnum):
    """Where a value came from, best first."""

    TRUSTED = "trusted"
    """A field of a trusted record that a tool returned."""
    EVENT = "event"
    """A field of the event that its endpoint declares trusted."""
    UNTRUSTED = "untrusted"
    """Content that an outsider may have written."""
    MODEL = "model"
    """Nowhere: the model made it up or computed it."""


_BEST_FIRST = (Origin.TRUSTED, Origin.EVENT, Origin.UNTRUSTED, Origin.MODEL)


class RecordedValue(Record):
    """One scalar that entered the run."""

    origin: Origin
    source: str
    """The event, or tool and position of the message."""
    path: str
    """Where it stood in the source, such as `order.order_id`."""
    value: str | int | bool


class Trace(Record):
    """Where one argument came from."""

    label: Origin
    """Of a list or an object: the worst label among its parts."""
    source: str = ""
    path: str = ""
    how: str = ""
    """`exact`, `normalised` (Unicode form, case, spacing) or `inside` an untrusted text."""


def recorded_values(
    messages: Sequence[JsonObject], trusted_fields: Sequence[str], labels: Mapping[str, Mapping[str, Label]]
) -> list[RecordedValue]:
    """Every scalar of the event and of the tools' outputs.

    Args:
        messages: the event's user message and the tool messages, in order.
        trusted_fields: data fields that the event's endpoint declares trusted.
        labels: per tool, label per top-level output field; others are trusted.
    """
    found: list[RecordedValue] = []
    for position, message in enumerate(messages):
        content = _parsed(str(message.get("text", "")))
        if message.get("role") == "user":
            event = cast("JsonObject", content.get("event", {})) if isinstance(content, dict) else {}
            for path, value in _scalars(event, ""):
                trusted = path.startswith("data.") and path.split(".")[1] in trusted_fields
                origin = Origin.EVENT if trusted else Origin.UNTRUSTED
                found.append(RecordedValue(origin=origin, source="event", path=path, value=value))
        elif not message.get("is_error"):
            tool = str(message.get("tool", ""))
            for path, value in _scalars(content, ""):
                untrusted = labels.get(tool, {}).get(path.split(".")[0].split("[")[0]) is Label.UNTRUSTED
                origin = Origin.UNTRUSTED if untrusted else Origin.TRUSTED
                found.append(RecordedValue(origin=origin, source=f"{tool}#{position}", path=path, value=value))
    return found[:_MAX_VALUES]


def trace_arguments(arguments: JsonObject, values: Sequence[RecordedValue]) -> dict[str, Trace]:
    """The label of every top-level argument, with its best source as evidence."""
    return {name: _trace(value, values) for name, value in arguments.items() if value is not None}


def _trace(value: JsonValue, values: Sequence[RecordedValue]) -> Trace:
    parts = [part for _, part in _scalars(value, "")]
    traces = [_trace_scalar(part, values) for part in parts]
    if not traces:
        return Trace(label=Origin.MODEL)
    return max(traces, key=lambda trace: _BEST_FIRST.index(trace.label))


def _trace_scalar(part: str | int | bool, values: Sequence[RecordedValue]) -> Trace:  # noqa: FBT001 - a value, not a flag
    best: Trace | None = None
    for known in values:
        how = _match(part, known)
        if how and (best is None or _BEST_FIRST.index(known.origin) < _BEST_FIRST.index(best.label)):
            best = Trace(label=known.origin, source=known.source, path=known.path, how=how)
            if known.origin is Origin.TRUSTED:
                break
    return best or Trace(label=Origin.MODEL)


def _match(part: str | int | bool, known: RecordedValue) -> str:  # noqa: FBT001 - a value, not a flag
    if type(part) is type(known.value) and part == known.value:
        return "exact"
    if isinstance(part, bool) or isinstance(known.value, bool):
        return ""
    mine, theirs = _normal(str(part)), _normal(str(known.value))
    if known.origin is not Origin.UNTRUSTED:
        # A look-alike of a trusted value is not that value: only the exact one is trusted.
        return ""
    if mine == theirs:
        return "normalised"
    return "inside" if len(mine) >= _MIN_TEXT_MATCH and mine in theirs else ""


def _normal(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(folded.split())


def _scalars(value: JsonValue, path: str) -> Iterator[tuple[str, str | int | bool]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _scalars(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _scalars(inner, f"{path}[{index}]")
    elif isinstance(value, str | int | bool):
        yield path, value


def _parsed(text: str) -> JsonValue:
    start = text.find("{")
    if start < 0:
        return text
    try:
        return cast("JsonValue", json.JSONDecoder().raw_decode(text[start:])[0])
    except ValueError:
        return text
