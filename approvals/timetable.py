"""What time does to a request that nobody decides: people are reminded, others may decide. Pure: time is passed in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from approvals.words import at, duration
from contracts.approval import Escalation
from contracts.base import Record

__all__ = ["MomentLine", "first_chance", "timetable"]


class MomentLine(Record):
    """One moment, past or to come."""

    words: str
    """What happens, or has happened."""
    at: str
    iso: str
    away: str
    """Such as `in 2 h` or `20 min ago`."""
    is_past: bool


def timetable(escalations: Sequence[Escalation], *, sla_at: datetime, now: datetime) -> tuple[MomentLine, ...]:
    """What comes before the expiry, in its order."""
    events = [(sla_at, "a decision is wanted by then: people are reminded", "a decision was wanted by then")]
    for to, moment in sorted({(one.to, one.at) for one in escalations}):
        groups = " and ".join(sorted({one.group for one in escalations if (one.to, one.at) == (to, moment)}))
        instead = f"in place of {groups}"
        may = f"{to} may decide as well"
        events.append((datetime.fromtimestamp(moment, UTC), f"{may}, {instead}", f"{may} since then, {instead}"))
    # Several may fall on one moment; those keep their order.
    events.sort(key=lambda event: event[0])
    return tuple(_line(moment, was if moment <= now else will, now) for moment, will, was in events)


def first_chance(escalations: Sequence[Escalation], groups: Sequence[str], *, now: datetime) -> str:
    """When the first of these groups may decide, in words; empty when none will."""
    moments = [one.at for one in escalations if one.to in groups and one.at > now.timestamp()]
    return at(datetime.fromtimestamp(min(moments), UTC)) if moments else ""


def _line(moment: datetime, words: str, now: datetime) -> MomentLine:
    gap = abs(moment - now)
    away = f"{duration(gap)} ago" if moment <= now else f"in {duration(gap)}"
    return MomentLine(
        words=words,
        at=at(moment),
        iso=moment.isoformat(),
        away=away if gap >= timedelta(minutes=1) else "now",
        is_past=moment <= now,
    )
