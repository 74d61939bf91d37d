"""The values that entered a run: scalars of the event and of the tools' outputs, each with its label and place."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, cast

from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.tool import Label

__all__ = ["Labels", "Origin", "RecordedValue", "Scalar", "message_values", "parsed", "recorded_values", "scalars"]

Scalar = str | int | bool
"""What an argument or a field holds in the end."""
Labels = Mapping[str, Mapping[str, Label]]
"""Per tool, the label of output fields by path: trusted where none is named. Of other tools all is untrusted."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_CUT = frozenset({"truncated", "bytes", "head"})
"""The shape in which a too large output is recorded: fields of any label stand cut in one text, and its size is chosen
by whoever wrote the largest of them."""


class Origin(StrEnum):
    """Where a value came from, best first."""

    TRUSTED = "trusted"
    """A field of a trusted record that a tool returned."""
    EVENT = "event"
    """A field of the event that its endpoint declares trusted, or a whole word or passage of such a field's text."""
    PERSON = "person"
    """An approver wrote it, and it stands nowhere else."""
    UNTRUSTED = "untrusted"
    """Content that an outsider may have written."""
    MODEL = "model"
    """Nowhere: the model made it up or computed it."""


class RecordedValue(NamedTuple):
    """One scalar that entered the run."""

    origin: Origin
    source: str
    """The event, or the tool and which of the run's messages answered, such as `crm.read_ticket#1`."""
    path: str
    """Where it stood in the source, such as `items[0].sku`."""
    value: Scalar
    column: str
    """The path without positions, such as `items.sku`."""
    record: tuple[str, ...]
    """Paths of the objects around it, from the whole answer inwards, such as `("", "items[0]")`."""


def recorded_values(
    messages: Sequence[JsonObject], trusted_fields: Sequence[str], labels: Labels, *, first: int = 0
) -> list[RecordedValue]:
    """Every scalar of the event and of the tools' outputs.

    Args:
        messages: the event's user message and the tool messages, in order; of others and of errors nothing is taken.
        trusted_fields: data fields that the event's endpoint declares trusted.
        labels: per tool, label per output field.
        first: how many messages of the run came before, for the sources' names.
    """
    found: list[RecordedValue] = []
    for position, message in enumerate(messages, first):
        found += message_values(message, position, trusted_fields, labels)
    return found


def message_values(
    message: JsonObject, position: int, trusted_fields: Sequence[str], labels: Labels
) -> Iterator[RecordedValue]:
    """As `recorded_values`, of the message at that position."""
    if message.get("role") == "user":
        # The event opens the run; no later message can pass for it.
        return _of_event(parsed(str(message.get("text", ""))), frozenset(trusted_fields if position == 0 else ()))
    if message.get("role") == "tool" and not message.get("is_error"):
        tool = str(message.get("tool", ""))
        return _of_output(parsed(str(message.get("text", ""))), f"{tool}#{position}", labels.get(tool))
    return iter(())


def scalars(value: JsonValue, path: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Every value that holds no others, with its path; what is null is absent."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from scalars(inner, f"{path}{_step(key)}".removeprefix("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from scalars(inner, f"{path}[{index}]")
    elif value is not None:
        yield path, value


def parsed(text: str) -> JsonValue:
    """The first JSON object in a text; the text itself where there is none."""
    start = text.find("{")
    if start < 0:
        return text
    try:
        return cast("JsonValue", json.JSONDecoder().raw_decode(text[start:])[0])
    except (ValueError, RecursionError):
        return text


def _of_event(content: JsonValue, trusted: frozenset[str]) -> Iterator[RecordedValue]:
    event = content.get("event", content) if isinstance(content, dict) else content
    fields = dict(event) if isinstance(event, dict) else {"": event}
    data = fields.pop("data", None)
    yield from _Walk("event", lambda _keys: Origin.UNTRUSTED).of(fields)
    fields = data if isinstance(data, dict) else {"": data}
    walk = _Walk("event", lambda keys: Origin.EVENT if keys[1] in trusted else Origin.UNTRUSTED)
    for name, value in fields.items():
        yield from walk.inside(value, "data" + _step(name), ("data", name), ("data",))


def _of_output(content: JsonValue, source: str, labels: Mapping[str, Label] | None) -> Iterator[RecordedValue]:
    """What is no object, is cut, or comes from a tool that nobody knows any more cannot be told apart: untrusted."""
    if not isinstance(content, dict) or labels is None or (content.keys() == _CUT and content["truncated"] is True):
        fields = content if isinstance(content, dict) else {"": content}
        return _Walk(source, lambda _keys: Origin.UNTRUSTED).of(fields)
    declared = {tuple(path.split(".")): label for path, label in labels.items()}

    def origin_of(keys: tuple[str, ...]) -> Origin:
        for length in range(len(keys), 0, -1):
            label = declared.get(keys[:length])
            if label is not None:
                return Origin.TRUSTED if label is Label.TRUSTED else Origin.UNTRUSTED
        return Origin.TRUSTED

    return _Walk(source, origin_of).of(content)


class _Walk:
    """Through a parsed value, with the origin that each field has by its keys."""

    def __init__(self, source: str, origin_of: Callable[[tuple[str, ...]], Origin]) -> None:
        self._source = source
        self._origin_of = origin_of
        self._fields: dict[tuple[str, ...], tuple[Origin, str]] = {}

    def of(self, fields: Mapping[str, JsonValue]) -> Iterator[RecordedValue]:
        """Scalars of the whole answer."""
        for name, value in fields.items():
            yield from self.inside(value, _step(name).removeprefix("."), (name,), ("",))

    def inside(
        self, value: JsonValue, path: str, keys: tuple[str, ...], record: tuple[str, ...]
    ) -> Iterator[RecordedValue]:
        """Scalars of one field. `keys` lead to it, positions left out."""
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self.inside(
                    inner, f"{path}{_step(key)}".removeprefix("."), (*keys, key), (*record, path)
                )  # fmt: skip
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self.inside(inner, f"{path}[{index}]", keys, record)
        elif isinstance(value, str | int):
            field = self._fields.get(keys)
            if field is None:
                column = "".join(map(_step, keys)).removeprefix(".")
                field = self._fields[keys] = self._origin_of(keys), column
            origin, column = field
            yield RecordedValue(origin, self._source, path, value, column, record)


@lru_cache(maxsize=4_096)
def _step(key: str) -> str:
    """A key as part of a path. One with a dot of its own is quoted, so that it reads as no other."""
    return f".{key}" if _PLAIN_KEY.fullmatch(key) or not key else f"[{json.dumps(key)}]"
