"""A run's story as lines for a terminal: what happened, when, and why. Pure but for the colours.

Text of models, tools and people is shown with every hiding or reordering character made visible: it may be hostile.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue
from rich.text import Text

from approvals.characters import plain
from approvals.words import amount, requirement_in_words
from contracts.base import JsonObject
from contracts.call import CallStatus, EffectState
from contracts.decision import DecisionRecord
from contracts.vote import Verdict
from incidents.story import Story, StoryApproval, StoryCall, StoryStep, StoryTurn, StoryVisit, StoryVote

__all__ = ["Line", "dollars", "fields", "quote", "span", "timeline", "when"]

_DOLLAR = 1_000_000
_SHORT_TEXT = 240
_SHORT_VALUE = 60
_MANY_ATTEMPTS = 1
_STATUS = {
    CallStatus.RAN: ("✓", "green"),
    CallStatus.FAILED: ("✗", "red"),
    CallStatus.REFUSED: ("✗", "red"),
    CallStatus.DENIED: ("✗", "red"),
    CallStatus.RETRY_AFTER: ("…", "yellow"),
    CallStatus.NEEDS_CHECK: ("?", "yellow"),
    CallStatus.NEEDS_APPROVAL: ("?", "yellow"),
    CallStatus.HALTED: ("■", "red"),
    CallStatus.LIMIT_REACHED: ("■", "red"),
    CallStatus.UNKNOWN: ("?", "magenta"),
}
_APPROVAL = {
    "granted": ("✓", "green"),
    "denied": ("✗", "red"),
    "expired": ("✗", "red"),
    "voided": ("✗", "yellow"),
    "abandoned": ("■", "yellow"),
    "open": ("…", "yellow"),
}
_VOTE = {
    Verdict.APPROVE: ("✓", "green", "approves"),
    Verdict.DENY: ("✗", "red", "denies"),
    Verdict.EDIT: ("✎", "cyan", "edits the arguments"),
    Verdict.ASK: ("?", "yellow", "asks the model"),
    Verdict.HAND_OVER: ("■", "yellow", "takes it over"),
}
_ENDING = {
    Verdict.EDIT: "edited, and so decided anew",
    Verdict.ASK: "a question went to the model",
    Verdict.HAND_OVER: "taken over by a person",
}
MAX_STRAYS = 100
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Line:
    """One line of the timeline."""

    key: str
    """The same for the same thing in a later telling: what was printed is not printed again."""
    at_s: float
    """Unix seconds."""
    depth: int
    """0 for a step, 1 for its calls, 2 for what became of them."""
    mark: str
    style: str
    """Of the mark."""
    text: Text


def timeline(story: Story, *, full: bool = False) -> list[Line]:
    """Every line, steps in order; `full` cuts nothing."""
    lines = [line for step in story.steps for line in _step(step, full=full)]
    for index, note in enumerate(story.notes):
        lines.append(Line(f"note{index}", note.at_s, 0, "!", "bold yellow", Text(plain(note.text))))
    lines += _strays(story.strays)
    beside = [line for line in lines if line.key.startswith(("note", "stray"))]
    return _merged([line for line in lines if line not in beside], sorted(beside, key=lambda line: line.at_s))


def dollars(micros: int) -> str:
    """Micro-dollars as dollars, to the hundredth of a cent where that matters."""
    return f"${micros / _DOLLAR:.4f}" if 0 < micros < _DOLLAR else f"${micros / _DOLLAR:,.2f}"


def _merged(lines: Sequence[Line], beside: Sequence[Line]) -> list[Line]:
    """Notes before the first line that came later; the order of the steps stays."""
    found: list[Line] = []
    rest = list(beside)
    for line in lines:
        while rest and rest[0].at_s < line.at_s:
            found.append(rest.pop(0))
        found.append(line)
    return found + rest


def _step(step: StoryStep, *, full: bool) -> Iterator[Line]:
    for index, turn in enumerate(step.turns):
        yield from _turn(f"s{step.number}t{index}", step.number, turn, full=full)
    for call in step.calls:
        yield from _call(f"s{step.number}c{call.index}", step, call, full=full)


def _turn(key: str, number: int, turn: StoryTurn, *, full: bool) -> Iterator[Line]:
    at_s = turn.ended_s or turn.began_s
    head = Text.assemble((f"step {number}", "bold"))
    facts = [
        turn.served_model,
        f"{turn.tokens:,} tokens" if turn.tokens else "",
        dollars(turn.micros) if turn.micros else "",
    ]
    facts += [f"{turn.attempts} attempts"] if turn.attempts > _MANY_ATTEMPTS else []
    match turn.kind:
        case "thinking":
            yield Line(f"{key}open", turn.began_s, 0, "…", "yellow", head + Text("  the model is thinking", "dim"))
            return
        case "failed":
            why = f"{turn.fault.kind}: {turn.fault.message}" if turn.fault else "no answer"
            yield Line(
                key, at_s, 0, "✗", "red", head + Text("  no model answered: " + plain(_cut(why, full=full)), "red")
            )
            return
        case "malformed":
            said, style = f"an answer that cannot be used ({turn.detail})", "yellow"
        case "limit_reached":
            said, style = f"no call was made: the limit {turn.detail} is met", "red"
        case "halted":
            said, style = f"no call was made: halted by {turn.detail}", "yellow"
        case "finish":
            said, style = (
                ("finished: done", "green") if turn.detail == "done" else ("handed over to a person", "yellow")
            )
        case "calls":
            said, style = "", "bold"
    text = (
        head
        + (Text(f"  {said}", style) if said else Text())
        + Text("  " + " · ".join(part for part in facts if part), "dim")
    )
    yield Line(key, at_s, 0, "●", "cyan", text)
    for name, words in (("text", turn.text), ("summary", turn.summary), ("needed", turn.needed)):
        if words.strip():
            label = {"text": "says", "summary": "summary", "needed": "needs"}[name]
            yield Line(f"{key}{name}", at_s, 1, "", "", Text.assemble((f"{label}: ", "dim")) + quote(words, full=full))
    for index, words in enumerate(turn.corrections):
        correction = Text.assemble(("told: ", "dim")) + Text(plain(_cut(words, full=full)))
        yield Line(f"{key}told{index}", at_s, 1, "", "", correction)


def _call(key: str, step: StoryStep, call: StoryCall, *, full: bool) -> Iterator[Line]:
    proposed_s = step.turns[-1].ended_s or step.turns[-1].began_s
    text = Text.assemble((call.tool, "bold cyan")) + Text("  ") + _arguments(call, full=full)
    yield Line(key, proposed_s, 1, "→", "cyan", text)
    if call.why.strip():
        yield Line(f"{key}why", proposed_s, 2, "", "", quote(call.why, full=full))
    approvals = list(call.approvals)
    arguments = call.arguments
    for visit in call.visits:
        if visit.arguments and visit.arguments != arguments:
            yield Line(
                f"{key}e{visit.visit}", visit.began_s, 2, "✎", "cyan", _edited(arguments, visit.arguments, full=full)
            )
            arguments = visit.arguments
        yield from _visit(f"{key}v{visit.visit}", visit, full=full)
        if visit.status is CallStatus.NEEDS_APPROVAL and approvals:
            approval = approvals.pop(0)
            yield from _approval(f"{key}a{approval.request_id}", approval)
    for approval in approvals:
        yield from _approval(f"{key}a{approval.request_id}", approval)


def _edited(before: JsonObject, after: JsonObject, *, full: bool) -> Text:
    """What people changed of a call."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    parts = [f"{name} {_value(before.get(name), full=full)} → {_value(after.get(name), full=full)}" for name in names]
    return Text("edited by a person: ", "bold") + Text("; ".join(plain(part) for part in parts))


def _visit(key: str, visit: StoryVisit, *, full: bool) -> Iterator[Line]:
    if visit.status is None:
        if visit.ended_s is None:
            late = f", attempt {visit.attempts}: {visit.fault.kind}" if visit.fault and visit.attempts else ""
            yield Line(f"{key}open{visit.attempts}", visit.began_s, 2, "…", "yellow", Text(f"under way{late}", "dim"))
        else:
            why = f"{visit.fault.kind}: {visit.fault.message}" if visit.fault else "no result"
            yield Line(key, visit.ended_s, 2, "✗", "red", Text("failed: " + plain(_cut(why, full=full)), "red"))
        return
    at_s = visit.ended_s or visit.began_s
    mark, style = _STATUS[visit.status]
    if visit.decision is not None:
        yield from _decision(f"{key}d", at_s, visit.decision)
    if visit.status in (CallStatus.NEEDS_APPROVAL, CallStatus.DENIED) and visit.decision is not None:
        return
    text = Text.assemble((_outcome_words(visit, visit.status), style))
    took = f"{(at_s - visit.began_s) * 1000:,.0f} ms" if at_s > visit.began_s else ""
    aside = [took, f"{visit.attempts} attempts" if visit.attempts > _MANY_ATTEMPTS else ""]
    text += Text("  " + " · ".join(part for part in aside if part), "dim") if any(aside) else Text()
    if visit.output is not None:
        text += Text("  ") + Text(fields(visit.output, full=full), "dim")
    elif visit.message:
        text += Text("  " + plain(_cut(visit.message, full=full)))
    yield Line(key, at_s, 2, mark, style, text)


def _outcome_words(visit: StoryVisit, status: CallStatus) -> str:
    words = {
        CallStatus.RAN: "ran",
        CallStatus.RETRY_AFTER: "not now",
        CallStatus.NEEDS_CHECK: "needs a check",
        CallStatus.NEEDS_APPROVAL: "needs approval",
        CallStatus.LIMIT_REACHED: f"limit {visit.limit} is met",
        CallStatus.UNKNOWN: "not known whether it happened",
    }
    said = words.get(status, status.value)
    if visit.effect is None:
        return said
    return (
        "effect done"
        if visit.effect is EffectState.SUCCEEDED
        else f"{said}, effect {visit.effect.value.replace('_', ' ')}"
    )


def _decision(key: str, at_s: float, record: DecisionRecord) -> Iterator[Line]:
    """The decision first, then each policy that determined it."""
    decided = record.decision
    granted = f" with the grant {', '.join(record.granted)}" if record.granted else ""
    if record.standing:
        use = record.standing
        granted = f" under the standing approval {use.standing_id}, use {use.number} of {use.max_uses}"
    match decided.kind:
        case "allow":
            by = ", ".join(reason.policy for reason in decided.reasons)
            texts = " ".join(reason.text for reason in decided.reasons)
            text = (
                Text.assemble(("allowed", "green"))
                + Text(granted, "green")
                + Text(f" by {plain(by)}")
                + Text(f"  {plain(texts)}", "dim")
            )
            yield Line(key, at_s, 2, "✓", "green", text)
            return
        case "deny":
            undecided = "denied: the decision could not be made" if decided.errors else "denied: no policy permits it"
            said = "denied by policy" if decided.reasons and not decided.errors else undecided
            yield Line(key, at_s, 2, "✗", "red", Text(said, "bold red"))
        case "needs_approval":
            said = f"needs {requirement_in_words(decided.requirement)}"
            yield Line(key, at_s, 2, "?", "yellow", Text(said, "bold yellow"))
        case "needs_check":
            said = f"needs the check {plain(', '.join(decided.checks))}"
            yield Line(key, at_s, 2, "?", "yellow", Text(said, "bold yellow"))
    for index, reason in enumerate(decided.reasons):
        text = Text.assemble((plain(reason.policy), "bold")) + Text(f"  {plain(reason.text)}")
        yield Line(f"{key}r{index}", at_s, 3, "", "", text)
    for index, error in enumerate(decided.errors if decided.kind == "deny" else ()):
        yield Line(f"{key}e{index}", at_s, 3, "", "", Text(plain(error), "red"))


def _approval(key: str, approval: StoryApproval) -> Iterator[Line]:
    head = (
        Text("asked ")
        + Text(requirement_in_words(approval.requirement), "bold")
        + Text(f"  {approval.request_id}", "dim")
    )
    yield Line(key, approval.opened_at_s, 2, "✉", "yellow", head)
    votes = [_vote(key, index, vote, 3) for index, vote in enumerate(approval.votes)]
    lines = sorted([*votes, *_escalations(key, approval)], key=lambda line: line.at_s)
    yield from lines
    mark, style = _APPROVAL[approval.state]
    if approval.state == "open":
        text = Text(f"waits for people, at most until {when(approval.expires_at_s)}", style)
        latest = lines[-1].at_s if lines else approval.opened_at_s
        yield Line(f"{key}wait", latest, 2, mark, style, text)
        return
    waited = ""
    if approval.closed_at_s is not None:
        waited = f" after {span(approval.closed_at_s - approval.opened_at_s)}"
    ending = approval.state if approval.ending is None else _ENDING[approval.ending]
    said = "left open: the run ended first" if approval.state == "abandoned" else f"{ending}{waited}"
    if approval.problem:
        said += f", but the edit cannot be used: {plain(approval.problem)}"
    yield Line(f"{key}end", approval.closed_at_s or approval.opened_at_s, 2, mark, style, Text(said, style))


def _escalations(key: str, approval: StoryApproval) -> Iterator[Line]:
    for to, at in sorted({(one.to, one.at) for one in approval.escalations}):
        said = Text(plain(to), "bold") + Text(f" may decide as well from {when(at)} on")
        yield Line(f"{key}to{to}", at, 3, "⇡", "yellow", said)


def _strays(strays: Sequence[StoryVote]) -> list[Line]:
    """Signals that were no vote on anything the run asked: the first of them, and how many more there were."""
    lines = [_vote("stray", index, vote, 0) for index, vote in enumerate(strays[:MAX_STRAYS])]
    more = len(strays) - len(lines)
    if more:
        said = Text(f"{more} more signals were no votes on anything that was asked: not counted", "yellow")
        lines.append(Line(f"strays{more}", strays[-1].at_s, 0, "-", "dim", said))
    return lines


def _vote(key: str, index: int, vote: StoryVote, depth: int) -> Line:
    who = plain(vote.display_name or vote.person) or "somebody"
    if vote.verdict is None:
        said = Text("a vote that nobody vouches for")
    else:
        place = Text(f" for {plain(vote.for_name)}" if vote.for_name else "")
        said = Text.assemble((who, "bold")) + place + Text(f" {_VOTE[vote.verdict][2]}")
        if vote.person and vote.person != who:
            said += Text(f" ({plain(vote.person)})", "dim")
    if vote.reason:
        said += Text(f"  “{plain(vote.reason)}”", "italic")
    if vote.counted:
        mark, style, _ = _VOTE[vote.verdict] if vote.verdict else ("-", "dim", "")
        return Line(f"{key}vote{index}", vote.at_s, depth, mark, style, said)
    why = vote.refusal.replace("_", " ")
    return Line(f"{key}vote{index}", vote.at_s, depth, "-", "dim", said + Text(f"  not counted: {why}", "yellow"))


def _arguments(call: StoryCall, *, full: bool) -> Text:
    """Each argument; marked when its value stood nowhere but in a text that an outsider may have written."""
    decided = next((visit.decision for visit in call.visits if visit.decision is not None), None)
    origins = decided.request.context.get("provenance", {}) if decided is not None else {}
    currency = call.arguments.get("currency")
    parts: list[Text] = []
    for name, value in call.arguments.items():
        if value is None:
            continue
        part = Text.assemble((f"{name}=", "dim")) + Text(_value(value, full=full))
        if name.endswith("_minor") and isinstance(value, int) and _CURRENCY.fullmatch(str(currency)):
            part += Text(f" ({amount(value, str(currency))})", "bold")
        if isinstance(origins, dict) and origins.get(name) == "untrusted":
            part += Text(" (from untrusted text)", "bold yellow")
        parts.append(part)
    return Text("  ").join(parts)


def fields(value: JsonObject, *, full: bool = False) -> str:
    """The fields of an object in a line."""
    return _cut("  ".join(f"{name}={_value(part, full=full)}" for name, part in value.items()), full=full)


def _value(value: JsonValue, *, full: bool) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not full:
        text = " ".join(text.split())
        text = text if len(text) <= _SHORT_VALUE else text[: _SHORT_VALUE - 1] + "…"
    return plain(text)


def quote(words: str, *, full: bool = True) -> Text:
    """Somebody's own words, marked as such."""
    return Text(f"“{plain(_cut(words, full=full))}”", "italic")


def _cut(text: str, *, full: bool) -> str:
    if full:
        return text
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHORT_TEXT else flat[: _SHORT_TEXT - 1] + "…"


def span(seconds: float) -> str:
    """A time span in its two largest units, such as `2.1 s`, `3 min 4 s`, `2 h 5 min`."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"  # noqa: PLR2004 - hours of a day


def when(at_s: float) -> str:
    """An absolute time in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
