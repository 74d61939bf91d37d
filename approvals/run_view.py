"""What the page of a run shows, in words: how it stands, what it did, who was asked, what it cost. Pure."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from approvals.run_limits import RunLimit, changes_in_words, run_limits
from approvals.values import Field, fields_of, money_words
from approvals.words import amount, at, duration, requirement_in_words
from contracts.base import Record
from contracts.call import CallStatus, EffectState
from contracts.outcome import Outcome, OutcomeReason
from contracts.vote import Verdict
from store.limits import RunUsage
from store.run_facts import RunAsked, RunDeed, RunFacts, RunStopped

__all__ = ["RunHead", "RunView", "run_view"]

_SHORT = 80
"""Characters of a value on the page of its run; the write's own page has it whole."""
_MAX_SENT = 6
_MICROS = 1_000_000
_CENT = 10_000
_MINUTE = timedelta(minutes=1)
Mark = Literal["open", "granted", "expired", "denied", "voided"]
"""Of a colour: those of the states of requests."""
_OUTCOMES: dict[Outcome, tuple[str, Mark]] = {
    Outcome.COMPLETED: ("Completed", "granted"),
    Outcome.ESCALATED: ("Handed over to a person", "expired"),
    Outcome.FAILED_SAFE: ("Ended by a fault", "denied"),
    Outcome.CANCELLED: ("Cancelled", "voided"),
}
_WAITS: tuple[str, Mark] = ("Waits for people", "expired")
_UNDER_WAY: tuple[str, Mark] = ("Under way", "open")
_STATES: dict[EffectState, tuple[str, Mark]] = {
    EffectState.PREPARED: ("About to be sent", "open"),
    EffectState.IN_FLIGHT: ("Being sent", "open"),
    EffectState.SUCCEEDED: ("Done", "granted"),
    EffectState.FAILED_FINAL: ("Not done", "voided"),
    EffectState.UNKNOWN: ("Nobody knows whether it happened", "denied"),
    EffectState.ABANDONED: ("Will never be known", "denied"),
}
_STOPPED = {
    CallStatus.DENIED: "Denied by policy",
    CallStatus.REFUSED: "Refused by the gate",
    CallStatus.HALTED: "Halted",
    CallStatus.LIMIT_REACHED: "Met a limit",
}
_LIMITS = {
    "tokens": "Tokens",
    "usd": "Model cost",
    "steps": "Steps",
    "tool_calls": "Tool calls",
    "retries": "Retries",
}


class RunHead(Record):
    """Of the run's row, what its page is headed by."""

    run_id: str
    outcome: Outcome | None
    reason: OutcomeReason | None
    opened_at: datetime
    closed_at: datetime | None


class DeedShown(Record):
    """A write."""

    key: str
    step: int
    tool: str
    service: str
    state: str
    mark: Mark
    at: str
    amount: str
    """Money that it moved, in words; empty: none."""
    sent: tuple[Field, ...]
    """The first of its arguments, each cut short."""
    more_sent: int
    error: str
    allowed: str
    """Who let it be done."""
    request_id: str
    """Of its approval, where the page shows that; empty: none."""
    standing_id: str
    undone: str
    """What became of it since, in words; empty: nothing."""
    undone_by: str


class AskedShown(Record):
    """A request to people."""

    asked: RunAsked
    requirement: str
    waited: str
    """How long it has been open, or was."""


class StoppedShown(Record):
    """A call that the gate let nobody make."""

    stopped: RunStopped
    how: str
    why: str
    """Policies or the limit; empty: neither decided it."""


class CostLine(Record):
    """What was used of one limit."""

    name: str
    used: str
    cap: str
    """Empty: there is no such limit."""
    used_share: int
    """In hundredths, up to 100."""
    is_scarce: bool


class RunView(Record):
    """The page of a run."""

    title: str
    mark: Mark
    why: str
    """In a sentence; empty while it is under way."""
    times: str
    deeds: tuple[DeedShown, ...]
    in_doubt: int
    waiting: tuple[AskedShown, ...]
    """Requests that wait for people."""
    asked: tuple[AskedShown, ...]
    stopped: tuple[StoppedShown, ...]
    cost: tuple[CostLine, ...]
    moved: tuple[str, ...]
    """Money that it moved, in words, one for each currency."""
    limit_changes: tuple[str, ...]


def run_view(run: RunHead, facts: RunFacts) -> RunView:
    """Everything but its packet, orders and readers."""
    asked = tuple(_asked(one, facts.read_at) for one in facts.asked)
    waiting = () if run.outcome else tuple(one for one in asked if one.asked.state == "open")
    title, mark = _OUTCOMES[run.outcome] if run.outcome else _WAITS if waiting else _UNDER_WAY
    spent = _span((run.closed_at or facts.read_at) - run.opened_at)
    return RunView(
        title=title,
        mark=mark,
        why=run.reason.in_words() if run.reason else "",
        times=f"{at(run.opened_at)}, {'took' if run.closed_at else 'open for'} {spent}",
        deeds=tuple(_deed(run.run_id, one, facts.asked) for one in facts.deeds),
        in_doubt=sum(one.state is EffectState.UNKNOWN for one in facts.deeds),
        waiting=waiting,
        asked=asked,
        stopped=tuple(_stopped(one) for one in facts.stopped),
        cost=tuple(_cost(facts)),
        moved=_moved(facts.usage),
        limit_changes=tuple(changes_in_words(facts.usage)) if facts.usage else (),
    )


def _deed(run_id: str, deed: RunDeed, asked: Sequence[RunAsked]) -> DeedShown:
    state, mark = _STATES[deed.state]
    money = money_words(deed.amount_minor, deed.currency)
    said = {money, deed.currency} if money else set[str]()  # it stands in the line above
    sent = [one for one in _sent(deed.arguments) if one.kind != "nothing" and (one.hint or one.text) not in said]
    return DeedShown(
        key=f"{run_id}/{deed.step}/{deed.call}",
        step=deed.step,
        tool=deed.tool,
        service=deed.service,
        state=state,
        mark=mark,
        at=at(deed.at),
        amount=money,
        sent=tuple(_short(field) for field in sent[:_MAX_SENT]),
        more_sent=max(len(sent) - _MAX_SENT, 0),
        error=deed.error,
        allowed=_allowed(deed, asked),
        request_id=next((one.request_id for one in asked if one.request_id == deed.request_id), ""),
        standing_id=deed.standing_id or "",
        undone=_undone(deed),
        undone_by=deed.undone_by or "",
    )


def _sent(arguments: str) -> Iterator[Field]:
    try:
        yield from fields_of(json.loads(arguments))
    except ValueError:
        yield Field(name="", text=arguments, kind="text")


def _short(field: Field) -> Field:
    flat = " ".join(field.text.split())
    return field.model_copy(update={"text": flat if len(flat) <= _SHORT else flat[: _SHORT - 1] + "…"})


def _allowed(deed: RunDeed, asked: Sequence[RunAsked]) -> str:
    if deed.standing_id:
        return "under standing approval"
    if not deed.request_id:
        return "policy asked nobody"
    votes = next((one.votes for one in asked if one.request_id == deed.request_id), ())
    names = [vote.display_name for vote in votes if vote.state == "accepted" and vote.verdict is Verdict.APPROVE]
    return f"approved by {' and '.join(names)}" if names else "approved"


def _undone(deed: RunDeed) -> str:
    match deed.undone:
        case None:
            return ""
        case EffectState.SUCCEEDED:
            return "Taken back"
        case EffectState.PREPARED | EffectState.IN_FLIGHT:
            return "Being taken back"
        case _:
            return "Nobody knows whether it was taken back"


def _asked(asked: RunAsked, now: datetime) -> AskedShown:
    ended = asked.closed_at or min(now, asked.expires_at)
    return AskedShown(
        asked=asked,
        requirement=requirement_in_words(asked.requirement),
        waited=_span(max(ended - asked.opened_at, timedelta())),
    )


def _stopped(stopped: RunStopped) -> StoppedShown:
    why = stopped.limit or ", ".join(stopped.policies)
    return StoppedShown(stopped=stopped, how=_STOPPED.get(stopped.status, stopped.status.value), why=why)


def _cost(facts: RunFacts) -> Iterator[CostLine]:
    if facts.usage is None:
        return
    if facts.limits is None:
        yield CostLine(name=_LIMITS["usd"], used=_usd(facts.usage.micros_used), cap="", used_share=0, is_scarce=False)
        return
    for line in run_limits(facts.usage, facts.limits):
        if line.limit == "retries" and not line.used:
            continue
        yield _cost_line(line)


def _cost_line(line: RunLimit) -> CostLine:
    shown = _usd if line.limit == "usd" else _count
    taken = line.used + line.held
    share = 100 if taken >= line.cap else taken * 100 // line.cap
    return CostLine(
        name=_LIMITS[line.limit],
        used=shown(line.used),
        cap=shown(line.cap),
        used_share=share,
        is_scarce=share >= 90,  # noqa: PLR2004 - hundredths
    )


def _moved(usage: RunUsage | None) -> tuple[str, ...]:
    return tuple(amount(minor, currency) for currency, minor in usage.money_minor.items() if minor) if usage else ()


def _span(spent: timedelta) -> str:
    """As everywhere, but seconds where it took no minute: most runs take none."""
    return duration(spent) if spent >= _MINUTE else f"{spent.total_seconds():.1f} s"


def _usd(micros: int) -> str:
    """To the hundredth of a cent where that matters: most runs cost less than a dollar."""
    is_fine = micros < _MICROS and micros % _CENT
    return f"USD {micros / _MICROS:.4f}" if is_fine else f"USD {micros / _MICROS:,.2f}"


def _count(value: int) -> str:
    return f"{value:,}"
