"""The permission matrix: the most that an agent may do, tool by tool, tier by tier, stage by stage. Pure.

Each cell is the decision about a call on a day on which everything is in order: steps done, nothing repeated, every
argument from a trusted record, the agent enabled, nothing stopped. What policy asks for then is the least that it ever
asks for. Arguments with a fixed set of values are tried in all their values, and the widest decision counts. Tools
that move money have a row for each span of amounts that policy tells apart.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import JsonValue, ValidationError

from contracts.agent import PinnedAgent, Stage
from contracts.base import JsonObject, Record
from contracts.decision import Decision
from contracts.tool import Effect, Money, Tier, Tool
from policy.bundle import Bundle
from policy.cedar_text import CedarPolicy
from policy.decide import decide
from policy.provenance import Origin, assumed
from policy.request import CallFacts, authorization_request

__all__ = ["AMOUNT_MAX_MINOR", "MatrixRow", "matrix"]

AMOUNT_MAX_MINOR = 2**53 - 1
_VARIANTS_MAX = 256
_NOW_S = 1_800_000_000
_AMOUNT: JsonObject = {".": {"left": {"Var": "context"}, "attr": "amount_minor"}}
_FIRST_BEYOND = {">": 1, ">=": 0, "<": 0, "<=": 1}
"""Where the amounts behind a bound begin."""


class MatrixRow(Record):
    """One tool of one agent, and what is decided at each stage."""

    agent: str
    tool: str
    tier: Tier
    """Of the call, with this amount."""
    effect: Effect
    service: str
    scopes: tuple[str, ...]
    """Of its credential."""
    currency: str = ""
    """Empty: it moves no money."""
    from_minor: int = 0
    """Smallest amount of the row."""
    to_minor: int = 0
    """Largest amount of the row; `AMOUNT_MAX_MINOR`: no bound of policy."""
    stages: dict[Stage, str]
    """`alone`, the rung that must be asked, or `denied`."""


class _Span(NamedTuple):
    """Amounts that policy does not tell apart."""

    currency: str
    first: int
    last: int


def matrix(
    bundle: Bundle,
    pinned: PinnedAgent,
    tools: Sequence[Tool],
    policies: Sequence[CedarPolicy],
    samples: Mapping[str, JsonObject],
    currencies: Sequence[str],
) -> list[MatrixRow]:
    """Every row of an agent.

    Args:
        bundle: the policies.
        pinned: the agent's definition.
        tools: the tools that it lists.
        policies: every policy that may concern it: their numbers part the amounts.
        samples: valid arguments of each tool.
        currencies: what money is tried in.
    """
    rows: list[MatrixRow] = []
    for tool in tools:
        spans = _spans(bundle, policies, currencies) if tool.moves_money else [_Span("", 0, 0)]
        rows += _joined(
            row for span in spans if (row := _row(bundle, pinned, tool, samples[tool.name], span)) is not None
        )
    return rows


def _row(bundle: Bundle, pinned: PinnedAgent, tool: Tool, sample: JsonObject, span: _Span) -> MatrixRow | None:
    """None where the tool takes no such amount."""
    order = {"alone": -1, **{rung.id: place for place, rung in enumerate(bundle.ladder.rungs)}, "denied": _VARIANTS_MAX}
    stages: dict[Stage, str] = {}
    tier = tool.tier
    for stage in Stage:
        verdicts: list[str] = []
        for arguments in _variants(tool, sample):
            priced = _priced(tool, arguments, span)
            if priced is None:
                return None
            verdict, tier = _decided(bundle, pinned, *priced, stage)
            verdicts.append(verdict)
        stages[stage] = min(verdicts, key=order.__getitem__)
    return MatrixRow(
        agent=pinned.name,
        tool=tool.name,
        tier=tier,
        effect=tool.effect,
        service=tool.service,
        scopes=tool.scopes,
        currency=span.currency,
        from_minor=span.first,
        to_minor=span.last,
        stages=stages,
    )


def _joined(rows: Iterable[MatrixRow]) -> Iterator[MatrixRow]:
    """Neighbouring spans with the same tier and decisions as one."""
    last: MatrixRow | None = None
    for row in rows:
        if last is not None and (last.currency, last.tier, last.stages) == (row.currency, row.tier, row.stages):
            last = last.model_copy(update={"to_minor": row.to_minor})
            continue
        if last is not None:
            yield last
        last = row
    if last is not None:
        yield last


def _spans(bundle: Bundle, policies: Sequence[CedarPolicy], currencies: Sequence[str]) -> Iterator[_Span]:
    """Amounts between the numbers with which policies and tiers compare them."""
    named = {bound for policy in policies for bound in _bounds(policy.body.get("conditions", []))}
    for currency in currencies:
        tiers = bundle.tiers.money.get(currency)
        raised = {tiers.high_impact_minor, tiers.irreversible_minor} if tiers else set[int]()
        starts = sorted({1} | {start for start in named | raised if 1 < start <= AMOUNT_MAX_MINOR})
        for start, following in itertools.zip_longest(starts, starts[1:]):
            yield _Span(currency, start, AMOUNT_MAX_MINOR if following is None else following - 1)


def _bounds(value: object) -> Iterator[int]:
    """Where amounts begin that a condition tells from the smaller ones."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _bounds(item)
    if not isinstance(value, dict):
        return
    for kind, inner in cast("JsonObject", value).items():
        if kind in ("==", "!=", *_FIRST_BEYOND) and isinstance(inner, dict) and _AMOUNT in inner.values():
            other = next((side for side in inner.values() if side != _AMOUNT), None)
            number = other.get("Value") if isinstance(other, dict) else None
            if isinstance(number, int) and not isinstance(number, bool):
                # Written the other way round, or as an equality, both sides of the number are told apart.
                yield from (
                    (number, number + 1)
                    if inner.get("left") != _AMOUNT or kind in ("==", "!=")
                    else (number + _FIRST_BEYOND[kind],)
                )
        yield from _bounds(inner)


def _variants(tool: Tool, sample: JsonObject) -> Iterator[JsonObject]:
    """The sample with every value of its arguments with a fixed set of values."""
    schema = tool.args_model.model_json_schema()
    choices = {name: _choices(field) for name, field in schema.get("properties", {}).items()}
    fixed = {name: values for name, values in choices.items() if values}
    for values in itertools.islice(itertools.product(*fixed.values()), _VARIANTS_MAX):
        yield {**sample, **dict(zip(fixed, values, strict=True))}


def _choices(field: Mapping[str, Any]) -> list[JsonValue]:
    if field.get("type") == "boolean":
        return [False, True]
    return list(field.get("enum", []))


def _priced(tool: Tool, arguments: JsonObject, span: _Span) -> tuple[Tool, JsonObject] | None:
    """The call with the span's first amount; None where the tool takes no such amount.

    What a tool moves is a function of its arguments: those that hold the sample's amount and currency are replaced.
    """
    if not span.currency:
        return tool, arguments
    usual = tool.money(tool.args_model.model_validate(arguments))
    if usual is None:
        return None
    new = {usual.amount_minor: span.first, usual.currency: span.currency}
    changed: JsonObject = {
        name: new.get(value, value) if isinstance(value, int | str) else value for name, value in arguments.items()
    }
    try:
        moved = tool.money(tool.args_model.model_validate(changed))
    except ValidationError:
        return None
    amount = Money(amount_minor=span.first, currency=span.currency)

    def stated(_args: object) -> Money:
        return amount

    # An amount that the tool computes cannot be reached by its arguments: it is stated.
    return (tool if moved == amount else dataclasses.replace(tool, money=stated)), changed


def _decided(bundle: Bundle, pinned: PinnedAgent, tool: Tool, arguments: JsonObject, stage: Stage) -> tuple[str, Tier]:
    """The decision about one call, and the call's tier."""
    forbidden = pinned.forbidden_after.get(tool.name, ())
    facts = CallFacts(
        tenant="any",
        run_id="run-" + "a" * 26,
        on_behalf_of=None,
        stage=stage,
        enabled=True,
        tier_ceiling=max(Tier),
        halted=False,
        admitted={},
        completed={done.name: 1 for done in pinned.tools if done.name not in forbidden},
        money_minor={},
        tool_calls=0,
        tainted=False,
        repeated=False,
        opened_s=_NOW_S,
        now_s=_NOW_S,
    )
    traces = {name: assumed(Origin.TRUSTED) for name, value in arguments.items() if value is not None}
    request = authorization_request(facts, pinned, tool, arguments, traces, bundle.tiers)
    tier = Tier(cast("int", request.context["tier"]))
    return _in_a_word(decide(bundle, request).decision), tier


def _in_a_word(decision: Decision) -> str:
    match decision.kind:
        case "allow":
            return "alone"
        case "deny":
            return "denied"
        case "needs_approval":
            return decision.requirement.id
        case "needs_check":
            return "checked"
