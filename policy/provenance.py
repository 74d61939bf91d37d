"""Where the value of an argument came from, found by comparing it with every value that entered the run.

A match proves that the same value stood there, not that the model took it from there: a person's name or a small
number can match by chance. Labels are computed from recorded values only, so the same run gives the same labels.
"""

import json
from collections.abc import Mapping, Sequence

from pydantic import Field, JsonValue

from contracts.base import JsonObject, Record
from contracts.tool import Tool
from policy.contacts import contacts
from policy.recorded import Labels, Origin, RecordedValue, Scalar, message_values, parsed, recorded_values, scalars
from policy.selected import Records
from policy.stated import Place, StatedText
from policy.told import Told, UntrustedText, normal_form

__all__ = [
    "Labels",
    "Mandate",
    "Origin",
    "RecordedValue",
    "Trace",
    "ValueIndex",
    "assumed",
    "edited_by",
    "recorded_values",
    "unproven",
]

_MAX_VALUES = 20_000
"""Trusted ones; what comes later counts as the model's own."""
_MAX_PARTS = 50
"""Parts of an argument, and calls whose answer is outstanding, that are kept."""
_ALL = ("all", "each", "every", "everyone", "everybody", "both")
_BEST_FIRST = (Origin.TRUSTED, Origin.EVENT, Origin.PERSON, Origin.UNTRUSTED, Origin.MODEL)
_PROVEN = frozenset({Origin.TRUSTED, Origin.EVENT})
_STATED = "the event states it"


class Trace(Record):
    """Where one argument, or one part of it, came from."""

    label: Origin
    """Of a list or an object: the worst label among its parts."""
    source: str = ""
    path: str = ""
    how: str = ""
    """`exact`; `normalised` (Unicode form, case, spacing) or `inside` an untrusted text; `stated` as a whole word or
    passage of the event's trusted text; `filled in`: such a passage with numbers in place of something else; or
    `number`: the same amount in other digits."""
    start: int | None = None
    """Of the last three: the first character, counted from 0."""
    via: str = ""
    """How the event leads to this value, in words; empty when it does not."""
    also: str = ""
    """Of a proven value: the first untrusted content that holds it too, so that somebody may have suggested it."""
    by: str = ""
    """The approver who wrote it in place of what was proposed; the label says where else it stands."""
    part: str = ""
    """Which part of the argument this is, such as `[1].iban`; of prose a contact inside it."""
    parts: tuple["Trace", ...] = Field(default=(), max_length=_MAX_PARTS)
    """Of a list, an object or prose with contacts: each part; the worst comes first."""

    @property
    def intended(self) -> bool:
        """Whether the event states the value or leads to it."""
        return bool(self.via)

    @property
    def proven(self) -> bool:
        """Whether a trusted record or a trusted field of the event holds the value."""
        return self.label in _PROVEN


def assumed(label: Origin, *, astray: bool = False) -> Trace:
    """A trace that a table or a case supposes: the event leads to a proven value, unless that is astray."""
    proven = label in _PROVEN and not astray
    return Trace(label=label, via="supposed" if proven else "")


class Mandate(Record):
    """How far the event asks for a deed. Words tell what was meant only roughly: policies narrow with it."""

    requested: bool = False
    """One of the tool's `requested_by` stands in a text of the event that its endpoint declares trusted."""
    requested_all: bool = False
    """Such a text says all, each, every or both."""
    spent: tuple[str, ...] = ()
    """Arguments with the same value as in a call of this tool that ran before in this run."""


class ValueIndex:
    """Recorded values, searchable. Grows with the run; the same messages in the same order give the same traces."""

    def __init__(self) -> None:
        self._believed: dict[tuple[type, Scalar], RecordedValue] = {}
        self._told = UntrustedText()
        self._stated = StatedText()
        self._records = Records(self._stated)
        self._asked: dict[str, list[str]] = {}
        self._spent: set[tuple[str, str, str]] = set()
        self._messages = 0

    def read(self, messages: Sequence[JsonObject], trusted_fields: Sequence[str], labels: Labels) -> None:
        """Add the messages that follow those that were read before: the event, proposals and answers of tools."""
        for message in messages:
            if message.get("role") == "assistant":
                self._note_calls(message)
                continue
            values = list(message_values(message, self._messages, trusted_fields, labels))
            self._messages += 1
            asked = self._asked.pop(str(message.get("call_id", "")), [])
            edited = message.get("edited")
            if isinstance(edited, dict):
                asked = [str(edited.get("arguments_json", ""))]  # people changed the call: it was made with these
            self._add(values, asked)
            if message.get("role") == "tool" and not message.get("is_error"):
                self._spend(str(message.get("tool", "")), asked)

    def trace(self, arguments: JsonObject, free_text: Sequence[str] = ()) -> dict[str, Trace]:
        """The label of every top-level argument, with its best source as evidence.

        Of `free_text`, arguments that are prose, the contacts inside are traced too.
        """
        return {
            name: self._prose(value) if name in free_text and isinstance(value, str) else self._whole(value)
            for name, value in arguments.items()
            if value is not None
        }

    def mandate(self, tool: Tool, arguments: JsonObject) -> Mandate:
        """What the event's words say of a deed of this kind, and what of it was done before in this run."""
        return Mandate(
            requested=self._stated.asks_for(tool.requested_by),
            requested_all=self._stated.asks_for(_ALL),
            spent=tuple(
                sorted(name for name, value in arguments.items() if (tool.name, name, _text(value)) in self._spent)
            ),
        )

    def _note_calls(self, message: JsonObject) -> None:
        calls = message.get("calls")
        self._asked = {}
        for call in (calls if isinstance(calls, list) else [])[:_MAX_PARTS]:
            if isinstance(call, dict):
                # One id for two calls is the model's doing: then each answer may echo either.
                self._asked.setdefault(str(call.get("call_id", "")), []).append(str(call.get("arguments_json", "")))

    def _add(self, values: list[RecordedValue], asked: Sequence[str]) -> None:
        arguments = [(name, part) for text in asked for name, part in scalars(parsed(text))]
        weak = _Echoes()
        strong: list[tuple[str, str | int]] = []
        for name, part in arguments:
            # The reason that a model gives goes to no tool.
            if name != "why" and isinstance(part, str | int) and not isinstance(part, bool):
                if (type(part), part) in self._believed or self._stated.find(part):
                    strong.append((name, part))
                else:
                    weak.add(name, part, Origin.UNTRUSTED if self._told.find(part) else Origin.MODEL)
        kept = [known for value in values if (known := weak.without(value)) is not None]
        for value in kept:
            if value.origin is not Origin.UNTRUSTED:
                self._believe(value)
        self._told.add([value for value in kept if value.origin is Origin.UNTRUSTED])
        self._records.add(kept, strong)

    def _spend(self, tool: str, asked: Sequence[str]) -> None:
        for text in asked:
            arguments = parsed(text)
            if isinstance(arguments, dict) and len(self._spent) < _MAX_VALUES:
                self._spent.update((tool, name, _text(value)) for name, value in arguments.items())

    def _believe(self, value: RecordedValue) -> None:
        key = (type(value.value), value.value)
        known = self._believed.get(key)
        if known is None and len(self._believed) >= _MAX_VALUES:
            return
        if known is None or _rank(value.origin) < _rank(known.origin):
            self._believed[key] = value
        if value.origin is Origin.EVENT:
            self._records.add_event(value.value, value.path)
            if isinstance(value.value, str):
                self._stated.add(value.path, value.value)

    def _whole(self, value: JsonValue) -> Trace:
        found = [(path, self._scalar(part)) for path, part in scalars(value)]
        if not isinstance(value, dict | list):
            return found[0][1] if found else Trace(label=Origin.MODEL)
        if not found:
            return Trace(label=Origin.MODEL)
        parts = sorted(
            (trace.model_copy(update={"part": path}) for path, trace in found),
            key=lambda trace: (-_rank(trace.label), trace.intended),
        )
        return parts[0].model_copy(update={"parts": tuple(parts[:_MAX_PARTS])})

    def _prose(self, text: str) -> Trace:
        parts = [self._scalar(part).model_copy(update={"part": part[:200]}) for part in contacts(text)]
        return self._scalar(text).model_copy(update={"parts": tuple(sorted(parts, key=lambda one: one.proven))})

    def _scalar(self, part: JsonValue) -> Trace:
        if not isinstance(part, str | int):
            return Trace(label=Origin.MODEL)
        told = self._told.find(part)
        also = f"{told.value.source} {told.value.path}".strip() if told else ""
        # A look-alike of a trusted value is not that value: only the exact one is.
        known = self._believed.get((type(part), part))
        if known is not None:
            via = self._records.leads_to(part)
            if known.origin is Origin.EVENT and via:
                via = _STATED  # the path says where
            return Trace(
                label=known.origin, source=known.source, path=known.path, how="exact", via=via, also=also
            )  # fmt: skip
        stated = self._stated.find(part)
        if stated is not None:
            return _of_place(stated, also)
        return Trace(label=Origin.MODEL) if told is None else _of_told(told)


class _Echoes:
    """Arguments that nothing proves, and what an answer is worth that gives one back: no more than the argument.

    Otherwise a guess would be a trusted record as soon as it has been looked up.
    """

    def __init__(self) -> None:
        self._texts: dict[str, Origin] = {}
        self._numbers: dict[tuple[str, int], Origin] = {}

    def add(self, name: str, value: str | int, label: Origin) -> None:
        """Add an argument, by its path and value."""
        if isinstance(value, str):
            self._texts[normal_form(value)] = label
        else:
            self._numbers[_last(name), value] = label

    def without(self, value: RecordedValue) -> RecordedValue | None:
        """A value of the answer as it may be believed; None for the model's own. A number echoes under its own name."""
        if value.origin is not Origin.TRUSTED or isinstance(value.value, bool):
            return value
        if isinstance(value.value, str):
            label = self._texts.get(normal_form(value.value)) if self._texts else None
        else:
            label = self._numbers.get((_last(value.column), value.value))
        if label is None:
            return value
        return value._replace(origin=label) if label is Origin.UNTRUSTED else None


def edited_by(traces: Mapping[str, Trace], editors: Mapping[str, str]) -> dict[str, Trace]:
    """Traces of a call that people edited. `editors`: who wrote an argument in place of what was proposed.

    Where the value stands elsewhere, the label says so as before: that a person wrote an outsider's words down makes
    them no better. Else it is the person's, which proves as little as the model's does.
    """
    return {name: _edited(trace, editors[name]) if name in editors else trace for name, trace in traces.items()}


def _edited(trace: Trace, by: str) -> Trace:
    label = trace.label
    if label is Origin.MODEL:
        label = Origin.UNTRUSTED if any(part.label is Origin.UNTRUSTED for part in trace.parts) else Origin.PERSON
    parts = tuple(_edited(part, "") for part in trace.parts)
    return trace.model_copy(update={"label": label, "by": by[:200], "parts": parts})


def unproven(tool: Tool, traces: Mapping[str, Trace]) -> list[str]:
    """Arguments whose value no trusted record and no trusted field of the event holds; of prose, contacts inside it."""
    return sorted(
        name
        for name, trace in traces.items()
        if not (all(part.proven for part in trace.parts) if name in tool.free_text else trace.proven)
    )


def _of_place(place: Place, also: str) -> Trace:
    return Trace(
        label=Origin.EVENT, source="event", path=place.path, how=place.how, start=place.start, via=_STATED, also=also
    )


def _of_told(told: Told) -> Trace:
    return Trace(label=Origin.UNTRUSTED, source=told.value.source, path=told.value.path, how=told.how)


def _text(value: JsonValue) -> str:
    return normal_form(value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def _rank(origin: Origin) -> int:
    return _BEST_FIRST.index(origin)


def _last(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]
