"""Where the value of an argument came from, found by comparing it with every value that entered the run.

A match proves that the same value stood there, not that the model took it from there: a person's name or a small
number can match by chance. Labels are computed from recorded values only, so the same run gives the same labels.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject, Record
from contracts.tool import Label

__all__ = ["Origin", "RecordedValue", "Trace", "ValueIndex", "recorded_values", "trace_arguments"]

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


class ValueIndex:
    """Recorded values, searchable. Grows with the run; the same values in the same order give the same traces."""

    def __init__(self, values: Iterable[RecordedValue] = ()) -> None:
        self._believed: dict[tuple[type, str | int | bool], RecordedValue] = {}
        self._untrusted: list[tuple[str, RecordedValue]] = []
        self.extend(values)

    def extend(self, values: Iterable[RecordedValue]) -> None:
        """Add values that entered the run later."""
        for value in values:
            if value.origin is Origin.UNTRUSTED:
                if len(self._untrusted) < _MAX_VALUES:
                    self._untrusted.append((_normal(str(value.value)), value))
                continue
            key = (type(value.value), value.value)
            known = self._believed.get(key)
            if known is None or _rank(value.origin) < _rank(known.origin):
                self._believed[key] = value

    def trace(self, arguments: JsonObject) -> dict[str, Trace]:
        """The label of every top-level argument, with its best source as evidence."""
        return {name: self._worst(value) for name, value in arguments.items() if value is not None}

    def _worst(self, value: JsonValue) -> Trace:
        traces = [self._scalar(part) for _, part in _scalars(value, "")]
        return max(traces, key=lambda trace: _rank(trace.label)) if traces else Trace(label=Origin.MODEL)

    def _scalar(self, part: str | int | bool) -> Trace:  # noqa: FBT001 - a value, not a flag
        # A look-alike of a trusted value is not that value: only the exact one is.
        believed = self._believed.get((type(part), part))
        if believed is not None:
            return Trace(label=believed.origin, source=believed.source, path=believed.path, how="exact")
        mine = _normal(str(part))
        for theirs, known in self._untrusted:
            how = _likeness(part, mine, known.value, theirs)
            if how:
                return Trace(label=Origin.UNTRUSTED, source=known.source, path=known.path, how=how)
        return Trace(label=Origin.MODEL)


def recorded_values(
    messages: Sequence[JsonObject],
    trusted_fields: Sequence[str],
    labels: Mapping[str, Mapping[str, Label]],
    *,
    first: int = 0,
) -> list[RecordedValue]:
    """Every scalar of the event and of the tools' outputs.

    Args:
        messages: the event's user message and the tool messages, in order.
        trusted_fields: data fields that the event's endpoint declares trusted.
        labels: per tool, label per top-level output field; others are trusted.
        first: position of the first message within the run, for the sources' names.
    """
    found: list[RecordedValue] = []
    for position, message in enumerate(messages, first):
        content = _parsed(str(message.get("text", "")))
        if message.get("role") == "user":
            event = content.get("event", {}) if isinstance(content, dict) else {}
            data = event.pop("data", {}) if isinstance(event, dict) else {}
            found += _labelled(event, "event", "", lambda _name: Origin.UNTRUSTED)
            found += _labelled(
                data, "event", "data.", lambda name: Origin.EVENT if name in trusted_fields else Origin.UNTRUSTED
            )
        elif not message.get("is_error"):
            tool = str(message.get("tool", ""))
            known = labels.get(tool, {})
            found += _labelled(
                content,
                f"{tool}#{position}",
                "",
                lambda name, known=known: Origin.UNTRUSTED if known.get(name) is Label.UNTRUSTED else Origin.TRUSTED,
            )
    return found


def _labelled(
    content: JsonValue, source: str, prefix: str, origin_of: Callable[[str], Origin]
) -> Iterator[RecordedValue]:
    """Scalars of an object, each with the origin of the top-level field that it stands in."""
    fields = content.items() if isinstance(content, dict) else [("", content)]
    for name, value in fields:
        origin = origin_of(name)
        for path, scalar in _scalars(value, f"{prefix}{name}"):
            yield RecordedValue(origin=origin, source=source, path=path, value=scalar)


def trace_arguments(arguments: JsonObject, values: Sequence[RecordedValue]) -> dict[str, Trace]:
    """The label of every top-level argument among these values."""
    return ValueIndex(values).trace(arguments)


def _rank(origin: Origin) -> int:
    return _BEST_FIRST.index(origin)


def _likeness(part: object, mine: str, value: object, theirs: str) -> str:
    if type(part) is type(value) and part == value:
        return "exact"
    if isinstance(part, bool) or isinstance(value, bool):
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
