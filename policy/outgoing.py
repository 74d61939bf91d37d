"""Output rules applied to what would leave: findings in arguments, what the rules say of each, and the redaction."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject, Record
from contracts.outgoing import Outgoing, OutputAction, OutputRule, OutputRules, Redaction, Sensitive
from contracts.tool import Effect, Label, Tier, Tool
from policy.sensitive import Detectors, Span, TextTooLong

__all__ = [
    "FINISH", "Finding", "OutgoingPolicy", "OwnRecords", "Surface", "action_of", "findings", "redacted", "surface_of",
]  # fmt: skip

FINISH = "finish"
_STRONGEST_FIRST = (OutputAction.BLOCK, OutputAction.ASK, OutputAction.REDACT, OutputAction.ALLOW)
_MAX_RECORDS = 500
_MAX_LEAVES = 5_000


class Surface(Record):
    """Where something would leave."""

    tool: str
    effect: Effect
    tier: Tier
    service: str
    customer_visible: bool
    prose: tuple[str, ...] = ()
    """Arguments that hold text for people: there nothing is `whole`, whatever stands in it."""


@dataclass(frozen=True)
class Finding:
    """One value that a detector knows, in an argument."""

    path: str
    argument: str
    """The top-level argument."""
    span: Span
    whole: bool
    """The argument's value is nothing else."""
    text: bool
    """It stands in a text and can be replaced; a number cannot."""


class OwnRecords:
    """What the run read of each resource, to tell a person's own data from another's. Grows with the run.

    An output belongs to a resource when its identity stands among the output's own top-level trusted fields: the
    ticket `TIC-1` in what was read of it, not in a list of tickets, and not in words that an outsider wrote.
    """

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}
        self._leaves = 0

    def read(self, messages: Sequence[JsonObject], labels: Mapping[str, Mapping[str, Label]]) -> None:
        """Add the tool messages among these."""
        for message in messages:
            known = labels.get(str(message.get("tool", "")))
            if message.get("role") != "tool" or message.get("is_error") or known is None:
                continue
            record = _object(str(message.get("text", "")))
            trusted = [
                (path, leaf)
                for name, value in record.items()
                for path, leaf in _leaves(value, name)
                if isinstance(leaf, str) and leaf and _believed(path, known)
            ]
            keys = {leaf for path, leaf in trusted if path in record}
            values = {_compact(leaf) for _, leaf in trusted}
            for key in keys:
                self._add(key, values)

    def hold(self, resource: str, value: str) -> bool:
        """Whether the value stands alone in a trusted field of that resource's record."""
        return _compact(value) in self._values.get(resource, ())

    def _add(self, key: str, values: set[str]) -> None:
        if len(self._values) < _MAX_RECORDS and self._leaves < _MAX_LEAVES:
            self._values.setdefault(key, set()).update(values)
            self._leaves += len(values)


@dataclass(frozen=True)
class OutgoingPolicy:
    """The rules of an organisation, ready to apply."""

    file: OutputRules
    detectors: Detectors

    def ordered(self, agent: Sequence[OutputRule]) -> tuple[OutputRule, ...]:
        """The order in which rules are asked: the organisation's final ones, the agent's, the organisation's rest."""
        final = [rule for rule in self.file.rules if rule.final]
        rest = [rule for rule in self.file.rules if not rule.final]
        return (*final, *agent, *rest)

    def judge(
        self, arguments: JsonObject, surface: Surface, agent: Sequence[OutputRule], records: OwnRecords, resource: str
    ) -> Outgoing:
        """What policy is told. What should have been replaced and still stands there is blocked."""
        try:
            found = findings(arguments, self.detectors)
        except TextTooLong:
            return Outgoing(classes=("unsearched",), action="block")
        rules = self.ordered(agent)
        actions = [(item.span.kind, action_of(item, surface, rules, records, resource)) for item in found]
        held = [(kind, action) for kind, action in actions if action is not OutputAction.ALLOW]
        if not held:
            return Outgoing()
        asks = all(action is OutputAction.ASK for _, action in held)
        return Outgoing(classes=tuple(sorted({kind.value for kind, _ in held})), action="ask" if asks else "block")

    def redact(
        self,
        arguments: JsonObject,
        found: Sequence[Finding],
        surface: Surface,
        agent: Sequence[OutputRule],
        records: OwnRecords,
        resource: str,
        *,
        call: int,
    ) -> tuple[JsonObject, tuple[Redaction, ...]]:
        """The arguments with every finding replaced of which a rule says so, and what was."""
        rules = self.ordered(agent)
        doomed = [
            item
            for item in found
            if item.text and _redacts(surface, action_of(item, surface, rules, records, resource))
        ]
        counts = Counter((item.path, item.span.kind) for item in doomed)
        done = tuple(Redaction(call=call, path=path, kind=kind, count=count) for (path, kind), count in counts.items())
        return (redacted(arguments, doomed) if doomed else arguments), done


def surface_of(tool: Tool) -> Surface:
    """Where a tool's arguments go."""
    return Surface(
        tool=tool.name,
        effect=tool.effect,
        tier=tool.tier,
        service=tool.service,
        customer_visible=tool.customer_visible,
        prose=tuple(tool.free_text),
    )


def findings(arguments: JsonObject, detectors: Detectors) -> list[Finding]:
    """Everything that the detectors know in these arguments.

    Raises:
        TextTooLong: one of the texts is longer than is searched.
    """
    found: list[Finding] = []
    for argument, value in arguments.items():
        for path, leaf in _leaves(value, argument):
            if isinstance(leaf, bool) or not isinstance(leaf, str | int):
                continue
            text = str(leaf)
            for span in detectors.spans(text):
                whole = not text[: span.start].strip() and not text[span.end :].strip()
                found.append(Finding(path, argument, span, whole, isinstance(leaf, str)))
    return found


def action_of(
    finding: Finding, surface: Surface, rules: Sequence[OutputRule], records: OwnRecords, resource: str
) -> OutputAction:
    """What the first rule that matches says of a finding."""
    for rule in rules:
        if _matches(rule, finding, surface) and (not rule.own_record or records.hold(resource, finding.span.value)):
            return rule.action
    return OutputAction.ALLOW


def redacted(arguments: JsonObject, doomed: Sequence[Finding]) -> JsonObject:
    """The arguments with these values replaced by words that say what stood there."""
    by_path: dict[str, list[Span]] = {}
    for item in doomed:
        by_path.setdefault(item.path, []).append(item.span)
    return {name: _replaced(value, name, by_path) for name, value in arguments.items()}


def _redacts(surface: Surface, action: OutputAction) -> bool:
    """A finish cannot be denied or approved: whatever rules hold against it is replaced."""
    return action is OutputAction.REDACT or (surface.tool == FINISH and action is not OutputAction.ALLOW)


def _matches(rule: OutputRule, finding: Finding, surface: Surface) -> bool:
    return (
        finding.span.kind in rule.classes
        and rule.effect in ("any", surface.effect.value)
        and (not rule.tools or surface.tool in rule.tools)
        and (not rule.services or surface.service in rule.services)
        and (not rule.arguments or finding.argument in rule.arguments)
        and surface.tier >= rule.min_tier
        and rule.customer_visible in (None, surface.customer_visible)
        and (rule.part == "any" or (rule.part == "whole") is _is_whole(finding, surface))
    )


def _is_whole(finding: Finding, surface: Surface) -> bool:
    return finding.whole and finding.argument not in surface.prose


def _replaced(value: JsonValue, path: str, doomed: Mapping[str, Sequence[Span]]) -> JsonValue:
    if isinstance(value, dict):
        return {key: _replaced(inner, f"{path}.{key}", doomed) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, f"{path}[{index}]", doomed) for index, inner in enumerate(value)]
    if not isinstance(value, str) or path not in doomed:
        return value
    text, before = value, len(value) + 1
    for start, end, kinds in reversed(_merged(doomed[path])):
        if start < before:
            text = f"{text[:start]}[{' and '.join(kinds)} removed by output rules]{text[end:]}"
            before = start
    return text


def _merged(spans: Sequence[Span]) -> list[tuple[int, int, list[str]]]:
    """Spans that overlap as one, with what stood in it."""
    merged: list[tuple[int, int, list[str]]] = []
    for span in sorted(spans, key=lambda item: (item.start, -item.end)):
        if merged and span.start < merged[-1][1]:
            start, end, kinds = merged[-1]
            merged[-1] = (start, max(end, span.end), list(dict.fromkeys([*kinds, _words(span.kind)])))
        else:
            merged.append((span.start, span.end, [_words(span.kind)]))
    return merged


def _words(kind: Sensitive) -> str:
    return kind.value.replace("_", " ")


def _leaves(value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def _believed(path: str, labels: Mapping[str, Label]) -> bool:
    """Whether a field is a trusted one: what is inside another has the label of what is around it."""
    parts = re.sub(r"\[\d+\]", "", path).split(".")
    around = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((labels[name] for name in around if name in labels), Label.TRUSTED) is Label.TRUSTED


def _object(text: str) -> JsonObject:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _compact(text: str) -> str:
    if "@" in text:
        return text.strip().casefold()
    return re.sub(r"[^0-9a-z+]", "", text.casefold())
