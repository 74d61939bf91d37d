"""Values of a call as the pages show them: each scalar with its place and origin, what changes, what to look at twice.

Pure, and from recorded values alone.
"""

import json
import re
from collections.abc import Iterator
from typing import Literal

from pydantic import JsonValue

from approvals.characters import pieces
from approvals.words import ORIGINS, amount
from contracts.approval import ApprovalView
from contracts.base import JsonObject, Record

__all__ = [
    "Argument",
    "Caution",
    "Change",
    "Field",
    "arguments_of",
    "cautions_of",
    "changes_of",
    "fields_of",
    "lists_of",
    "money_words",
    "notes_of",
]

_MAX_DEPTH = 8
_MAX_PARTS = 10
"""Unproven parts of an argument that are listed."""
_CAUTIONS = {
    "untrusted": "only an outsider's text has it",
    "model": "the model made it",
}
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Field(Record):
    """A scalar of a nested value, with where it stands."""

    name: str
    """Such as `order.items[0].sku`."""
    text: str
    """The value as text; strings as they are, everything else as JSON."""
    kind: Literal["text", "number", "flag", "nothing"]
    hint: str = ""
    """An amount in plain words: of a number `…_minor` that has a `currency` beside it."""

    @property
    def label(self) -> str:
        """The name in words: `refunded_minor` of an amount as `Refunded`. A path stays as it is."""
        return _label(self.name.removesuffix("_minor") if self.hint else self.name)


class Argument(Record):
    """An argument of the call, in full."""

    name: str
    label: str
    """The name in words."""
    anchor: str
    """Its place on the page."""
    fields: tuple[Field, ...]
    """One for a scalar; the parts of a list or an object."""
    origin: str
    """Label of its provenance: `trusted`, `event`, `untrusted`, `model` or `unknown`."""
    mark: str
    """The label in words."""
    meaning: str
    """What the label says, and what it does not."""
    source: str
    """Where the value was found."""
    notes: tuple[str, ...]
    """How the event leads to the value, which outsiders say the same, which of its parts nothing proves."""


class Change(Record):
    """A field of the target, before and after."""

    name: str
    label: str
    before: Field | None
    """None where the field is new."""
    after: Field | None
    changed: bool


class Caution(Record):
    """Something to look at twice."""

    name: str
    """Argument, or what it is done to."""
    anchor: str
    """Where it stands on the page."""
    words: str


def arguments_of(view: ApprovalView) -> tuple[Argument, ...]:
    """Every argument, in the order in which the call has them."""
    currency = view.arguments.get("currency")
    return tuple(
        _argument(f"argument-{number}", name, value, view.provenance.get(name, {}), currency)
        for number, (name, value) in enumerate(view.arguments.items())
    )


def _argument(anchor: str, name: str, value: JsonValue, trace: JsonObject, currency: JsonValue) -> Argument:
    label = str(trace.get("label", ""))
    mark, meaning = ORIGINS.get(label, ("origin not known", ""))
    source = " → ".join(str(trace[part]) for part in ("source", "path") if trace.get(part))
    how = str(trace.get("how") or "")
    fields = tuple(fields_of(value, beside=currency, key=name))
    is_amount = len(fields) == 1 and bool(fields[0].hint)
    return Argument(
        name=name,
        label=_label(name.removesuffix("_minor") if is_amount else name),
        anchor=anchor,
        fields=fields,
        origin=label if label in ORIGINS else "unknown",
        mark=mark,
        meaning=meaning,
        source=f"{source} ({how})" if source and how else source,
        notes=tuple(notes_of(trace)),
    )


def _label(name: str) -> str:
    return name if re.search(r"[.\[]", name) else name.replace("_", " ")[:1].upper() + name.replace("_", " ")[1:]


def notes_of(trace: JsonObject) -> Iterator[str]:
    """What a trace says besides its label, in sentences."""
    if trace.get("by"):
        yield f"Written by {trace['by']}, who approves such calls, in place of what the agent proposed."
    if trace.get("via"):
        yield f"Asked for: {trace['via']}."
    if trace.get("also"):
        yield f"Text of an outsider says the same ({trace['also']}): somebody may have suggested it."
    parts = trace.get("parts")
    for part in (parts if isinstance(parts, list) else [])[:_MAX_PARTS]:
        label = str(part.get("label")) if isinstance(part, dict) else ""
        if isinstance(part, dict) and label in _CAUTIONS:
            yield f"{part.get('part', '')}: {_CAUTIONS[label]}."


def lists_of(arguments: JsonObject) -> Iterator[tuple[str, int]]:
    """Arguments that hold many entries, and how many: a call on a list reaches further than it seems."""
    for name, value in arguments.items():
        if isinstance(value, list | dict) and len(value) > 1:
            yield name, len(value)


def changes_of(before: JsonObject | None, after: JsonObject | None) -> Iterator[Change]:
    """The target's fields before and after, those that change first."""
    if before is None or after is None:
        return
    old = {field.name: field for field in fields_of(before)}
    new = {field.name: field for field in fields_of(after)}
    names = [*old, *(name for name in new if name not in old)]
    for name in sorted(names, key=lambda name: old.get(name) == new.get(name)):
        was, becomes = old.get(name), new.get(name)
        label = (was or new[name]).label
        yield Change(name=name, label=label, before=was, after=becomes, changed=was != becomes)


def cautions_of(view: ApprovalView, arguments: tuple[Argument, ...]) -> Iterator[Caution]:
    """What nothing proves, and what deceives: one line for each argument and each reason."""
    if _is_deceptive(view.resource_id):
        yield Caution(name=view.resource_type, anchor="target", words=_DECEPTIVE)
    for argument in arguments:
        trace = view.provenance.get(argument.name, {})
        words = [_CAUTIONS[argument.origin]] if argument.origin in _CAUTIONS else []
        if _has_unproven_parts(trace):
            words.append("has parts that nothing proves")
        if any(_is_deceptive(field.text) or _is_deceptive(field.name) for field in argument.fields):
            words.append(_DECEPTIVE)
        if words:
            yield Caution(name=argument.label, anchor=argument.anchor, words="; ".join(words))


_DECEPTIVE = "has characters that hide or imitate others, shown as codes"


def _has_unproven_parts(trace: JsonObject) -> bool:
    """Whether contacts inside prose are proven by nothing; of a list or an object its label says so."""
    parts = trace.get("parts")
    return isinstance(parts, list) and any(isinstance(part, dict) and part.get("label") in _CAUTIONS for part in parts)


def _is_deceptive(text: str) -> bool:
    return any(piece.name for piece in pieces(text))


def fields_of(
    value: JsonValue, name: str = "", *, depth: int = 0, beside: JsonValue = None, key: str = ""
) -> Iterator[Field]:
    """Every scalar. `beside` is the currency in the same object, `key` the value's own name in it."""
    match value:
        case dict() if value and depth < _MAX_DEPTH:
            for inner_key, inner in value.items():
                path = f"{name}.{inner_key}" if name else inner_key
                yield from fields_of(inner, path, depth=depth + 1, beside=value.get("currency"), key=inner_key)
        case list() if value and depth < _MAX_DEPTH:
            for index, inner in enumerate(value):
                yield from fields_of(inner, f"{name}[{index}]", depth=depth + 1)
        case str():
            yield Field(name=name, text=value, kind="text")
        case bool():
            yield Field(name=name, text="yes" if value else "no", kind="flag")
        case int() if key.endswith("_minor") and isinstance(beside, str) and _CURRENCY.fullmatch(beside):
            yield Field(name=name, text=str(value), kind="number", hint=amount(value, beside))
        case int() | float():
            yield Field(name=name, text=str(value), kind="number")
        case dict() | list() if value:
            # Deeper than a page can name its parts: as it is sent, and with the same care as any other text.
            yield Field(name=name, text=json.dumps(value, ensure_ascii=False), kind="text")
        case _:
            yield Field(name=name, text="none", kind="nothing")


def money_words(minor: int | None, currency: str | None) -> str:
    """An amount; empty when no money moves."""
    if minor is None or currency is None:
        return ""
    return amount(minor, currency) if _CURRENCY.fullmatch(currency) else f"{minor:,} minor units of an unknown currency"
