"""Where the value of an argument came from, found by comparing it with every value that entered the run.

A match proves that the same value stood there, not that the model took it from there: a person's name or a small
number can match by chance. Labels are computed from recorded values only, so the same run gives the same labels.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject, Record
from contracts.tool import Label

__all__ = ["Labels", "Origin", "RecordedValue", "Trace", "ValueIndex", "recorded_values", "trace_arguments"]

Labels = Mapping[str, Mapping[str, Label]]
"""Per tool, the label of each top-level output field: trusted where none is named. Of other tools all is untrusted."""

_MIN_TEXT_MATCH = 4
"""Shorter values are not searched inside untrusted text: they match by chance."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MAX_VALUES = 20_000
"""Of each kind, trusted and not; what comes later counts as the model's own."""
_CUT = frozenset({"truncated", "bytes", "head"})
"""The shape in which a too large output is recorded: fields of any label stand cut in one text, and its size is chosen
by whoever wrote the largest of them."""


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
    """The event, or the tool and which of the run's answers it was, such as `crm.read_ticket#1`."""
    path: str
    """Where it stood in the source, such as `items[0].sku`."""
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
        self._messages = 0
        self.extend(values)

    def read(self, messages: Sequence[JsonObject], trusted_fields: Sequence[str], labels: Labels) -> None:
        """Add the messages that follow those that were read before; see `recorded_values`."""
        self.extend(recorded_values(messages, trusted_fields, labels, first=self._messages))
        self._messages += len(messages)

    def extend(self, values: Iterable[RecordedValue]) -> None:
        """Add values that entered the run later."""
        for value in values:
            if value.origin is Origin.UNTRUSTED:
                if len(self._untrusted) < _MAX_VALUES:
                    self._untrusted.append((_normal(str(value.value)), value))
                continue
            key = (type(value.value), value.value)
            known = self._believed.get(key)
            if known is None:
                if len(self._believed) < _MAX_VALUES:
                    self._believed[key] = value
            elif _rank(value.origin) < _rank(known.origin):
                self._believed[key] = value

    def trace(self, arguments: JsonObject) -> dict[str, Trace]:
        """The label of every top-level argument, with its best source as evidence."""
        return {name: self._worst(value) for name, value in arguments.items() if value is not None}

    def _worst(self, value: JsonValue) -> Trace:
        traces = [self._scalar(part) for _, part in _parts(value, "")]
        return max(traces, key=lambda trace: _rank(trace.label)) if traces else Trace(label=Origin.MODEL)

    def _scalar(self, part: JsonValue) -> Trace:
        if not isinstance(part, str | int):
            return Trace(label=Origin.MODEL)
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
    messages: Sequence[JsonObject], trusted_fields: Sequence[str], labels: Labels, *, first: int = 0
) -> list[RecordedValue]:
    """Every scalar of the event and of the tools' outputs.

    Args:
        messages: the event's user message and the tool messages, in order; of others and of errors nothing is taken.
        trusted_fields: data fields that the event's endpoint declares trusted.
        labels: per tool, label per top-level output field.
        first: how many messages of the run came before, for the sources' names.
    """
    found: list[RecordedValue] = []
    for position, message in enumerate(messages, first):
        content = _parsed(str(message.get("text", "")))
        if message.get("role") == "user":
            # The event opens the run; no later message can pass for it.
            found += _of_event(content, frozenset(trusted_fields if position == 0 else ()))
        elif message.get("role") == "tool" and not message.get("is_error"):
            tool = str(message.get("tool", ""))
            found += _of_output(content, f"{tool}#{position}", labels.get(tool))
    return found


def _of_event(content: JsonValue, trusted: frozenset[str]) -> Iterator[RecordedValue]:
    event = content.get("event", content) if isinstance(content, dict) else content
    fields = dict(event) if isinstance(event, dict) else {"": event}
    data = fields.pop("data", None)
    yield from _labelled(fields, "event", (), lambda _name: Origin.UNTRUSTED)
    fields = data if isinstance(data, dict) else {"": data}
    yield from _labelled(fields, "event", ("data",), lambda name: Origin.EVENT if name in trusted else Origin.UNTRUSTED)


def _of_output(content: JsonValue, source: str, labels: Mapping[str, Label] | None) -> Iterator[RecordedValue]:
    """What is no object, is cut, or comes from a tool that nobody knows any more cannot be told apart: untrusted."""
    if not isinstance(content, dict) or labels is None or (content.keys() == _CUT and content["truncated"] is True):
        fields = content if isinstance(content, dict) else {"": content}
        return _labelled(fields, source, (), lambda _name: Origin.UNTRUSTED)
    known = labels
    return _labelled(
        content,
        source,
        (),
        lambda name: Origin.TRUSTED if known.get(name, Label.TRUSTED) is Label.TRUSTED else Origin.UNTRUSTED,
    )


def _labelled(
    fields: Mapping[str, JsonValue], source: str, above: tuple[str, ...], origin_of: Callable[[str], Origin]
) -> Iterator[RecordedValue]:
    """Scalars of an object, each with the origin of the top-level field that it stands in."""
    for name, value in fields.items():
        origin = origin_of(name)
        path = "".join(_step(part) for part in (*above, name)).removeprefix(".")
        for where, scalar in _parts(value, path):
            if isinstance(scalar, str | int):
                yield RecordedValue(origin=origin, source=source, path=where, value=scalar)


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


def _parts(value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
    """Every value that holds no others, with its path; what is null is absent."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _parts(inner, f"{path}{_step(key)}".removeprefix("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _parts(inner, f"{path}[{index}]")
    elif value is not None:
        yield path, value


def _step(key: str) -> str:
    """A key as part of a path. One with a dot of its own is quoted, so that it reads as no other."""
    return f".{key}" if _PLAIN_KEY.fullmatch(key) or not key else f"[{json.dumps(key)}]"


def _parsed(text: str) -> JsonValue:
    start = text.find("{")
    if start < 0:
        return text
    try:
        return cast("JsonValue", json.JSONDecoder().raw_decode(text[start:])[0])
    except (ValueError, RecursionError):
        return text
