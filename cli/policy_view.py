"""A decision on the terminal: verdict, the policies that made it, the rungs that were tried, the facts it rests on."""

import json
from collections.abc import Iterable
from typing import cast

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from approvals.characters import plain
from cli.policy_explain import Explanation, PolicyShown
from cli.run_view import show
from contracts.base import JsonObject
from contracts.decision import Decision
from contracts.tool import Tier
from policy.cedar import entity_id

__all__ = ["print_explanation"]

_STYLES = {"allow": "bold green", "deny": "bold red", "needs_approval": "bold yellow", "needs_check": "bold yellow"}
_TOLD_ELSEWHERE = frozenset(
    {"args", "provenance", "tenant", "agent", "run", "tier", "tier_because", "stage", "on_behalf_of"}
)
_VALUE_MAX = 300


def print_explanation(console: Console, found: Explanation) -> None:
    """One screen."""
    show(console, Text.assemble((plain(found.title), "bold")) + Text(f"  {found.status}", "dim"))
    show(console, _verdict("", found.decision), _facts(found))
    if found.now is not None:
        label = "now the same: " if not found.changed else "now another: "
        show(console, _verdict(label, found.now))
    show(console, Text(), *_policies(found.policies), _ladder(found), Text(), _arguments(found), Text(), _rest(found))
    show(console, *_bundle(found))


def _verdict(label: str, decision: Decision) -> Text:
    match decision.kind:
        case "needs_approval":
            words = f"needs approval of {decision.requirement.in_words()} ({decision.requirement.id})"
        case "needs_check":
            words = f"needs the checks {', '.join(decision.checks)}"
        case "deny" if decision.errors:
            words = f"denied, because it could not be decided: {'; '.join(decision.errors)}"
        case "deny":
            words = "denied" if decision.reasons else "denied: no policy permits it"
        case "allow":
            words = "allowed"
    return Text.assemble((label, "bold"), (plain(words), _STYLES[decision.kind]))


def _facts(found: Explanation) -> RenderableType:
    request, context = found.request, found.request.context
    rows = _grid()
    rows.add_row("agent", _entity(found, request.principal))
    if request.user:
        rows.add_row("on behalf of", _entity(found, request.user))
    for one in found.principals:
        said = Text("allowed" if one.allowed else "denied", "green" if one.allowed else "red")
        by = f" by {', '.join(one.policies)}" if one.policies else ": nothing permits it"
        rows.add_row("", Text(plain(f"{entity_id(one.principal)} ")) + said + Text(plain(by), "dim"))
    rows.add_row("acts on", plain(f"{request.resource.partition('::')[0]} {entity_id(request.resource)}"))
    because = ", ".join(map(str, cast("list[object]", context.get("tier_because") or [])))
    tier = context.get("tier")
    name = Tier(tier).name.lower().replace("_", " ") if isinstance(tier, int) and tier in set(Tier) else "?"
    rows.add_row("tier", plain(f"{tier} {name}" + (f", because: {because}" if because else "")))
    rows.add_row("stage", plain(str(context.get("stage", "?"))))
    if found.granted:
        rows.add_row("held", plain(", ".join(found.granted)))
    if found.standing:
        use = f"{found.standing.standing_id}, use {found.standing.number} of {found.standing.max_uses}"
        rows.add_row("standing", f"{use}: `countersign standing show` tells its terms")
    return rows


def _entity(found: Explanation, name: str) -> str:
    identity = entity_id(name)
    kind = name.partition("::")[0]
    for entity in found.request.entities:
        if entity.get("uid") == {"type": kind, "id": identity}:
            attributes = cast("JsonObject", entity.get("attrs") or {})
            told = [f"{key} {_text(value)}" for key, value in attributes.items() if key not in ("name", "tenant")]
            return plain(f"{identity} ({', '.join(told)})")
    return plain(identity)


def _policies(policies: Iterable[PolicyShown]) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for policy in policies:
        style = {"permit": "green", "forbid": "red"}.get(policy.effect, "dim")
        head = Text.assemble((f"{policy.effect or 'gone'} ", style), (plain(policy.id), "bold"))
        shown.append(head + Text(f"  {policy.place}", "dim"))
        shown.append(Padding(Text(plain(policy.reason)), (0, 0, 0, 2)))
        # Annotations are told above.
        code = "\n".join(line for line in policy.text.splitlines() if not line.lstrip().startswith("@"))
        if code:
            shown.append(Padding(Text(plain_lines(code), "dim"), (0, 0, 0, 4)))
        shown.append(Text())
    return shown


def plain_lines(text: str) -> str:
    """Several lines, each without what a terminal would obey."""
    return "\n".join(plain(line) for line in text.splitlines())


def _ladder(found: Explanation) -> RenderableType:
    rows = _grid()
    for step in found.tried:
        words = f"{step.rung}: {step.words}" if step.rung else (f"held: {step.words}" if step.words else "nothing held")
        said = Text("allowed" if step.allowed else "denied", "green" if step.allowed else "red")
        by = f" by {', '.join(step.policies)}" if step.policies else ""
        faults = f": {'; '.join(step.errors)}" if step.errors else ""
        rows.add_row(plain(words), said + Text(plain(by + faults), "dim"))
    return rows


def _arguments(found: Explanation) -> RenderableType:
    context = found.request.context
    labels = cast("JsonObject", context.get("provenance") or {})
    rows = _grid()
    for name, value in cast("JsonObject", context.get("args") or {}).items():
        rows.add_row(plain(name), Text(plain(_text(value))) + Text(f"  {labels.get(name, '')}", "cyan"))
    return rows


def _rest(found: Explanation) -> RenderableType:
    told = [
        f"{key} {_text(value)}"
        for key, value in sorted(found.request.context.items())
        if key not in _TOLD_ELSEWHERE and value not in ("", 0, [], False)
    ]
    quiet = [
        key
        for key, value in sorted(found.request.context.items())
        if key not in _TOLD_ELSEWHERE and value in ("", 0, [], False)
    ]
    rows = _grid()
    rows.add_row("context", plain(" · ".join(told)))
    rows.add_row("", Text(plain(f"none, no or 0: {', '.join(quiet)}"), "dim"))
    return rows


def _bundle(found: Explanation) -> list[RenderableType]:
    rows = _grid()
    rows.add_row("bundle", found.bundle_digest)
    if found.bundle_digest != found.current_digest:
        rows.add_row("", Text(f"now it is {found.current_digest}: texts and rungs above are of now", "yellow"))
    return [rows]


def _grid() -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    return rows


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"
