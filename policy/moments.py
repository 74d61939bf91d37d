"""When people are reminded, when others may decide in their place, when a request expires. Pure."""

from collections.abc import Iterator

from contracts.agent import ApprovalTimes
from contracts.approval import Escalation, Moments
from contracts.decision import Requirement
from policy.calendars import TenantHours, after
from policy.ladder import Ladder

__all__ = ["moments_of", "still_declared"]


def moments_of(
    times: ApprovalTimes, requirement: Requirement, ladder: Ladder, hours: TenantHours, opened_at: int
) -> Moments:
    """The moments of a request that is opened at `opened_at` (Unix seconds).

    Where groups of several calendars are asked, the one whose time comes last counts: nobody is overdue on a day off.
    """
    calendars = [hours.of(need.group) for need in requirement.needs]
    expires_at = opened_at + times.expires_s
    if hours.expiry:
        expires_at = max(after(calendar, opened_at, times.expires_s) for calendar in calendars)
    found = {
        (escalation.group, escalation.to): escalation
        for need in requirement.needs
        for escalation in _escalations(need.group, ladder, hours, opened_at)
        if escalation.at < expires_at
    }
    return Moments(
        opened_at=opened_at,
        sla_at=max(after(calendar, opened_at, times.sla_s) for calendar in calendars),
        expires_at=expires_at,
        escalations=tuple(sorted(found.values(), key=lambda one: (one.at, one.group, one.to))),
    )


def still_declared(escalations: tuple[Escalation, ...], ladder: Ladder) -> tuple[Escalation, ...]:
    """Those that the current ladder still declares: what was taken back gives nobody a seat any more."""
    return tuple(one for one in escalations if one.to in {to for to, _ in ladder.escalations_of(one.group)})


def _escalations(group: str, ladder: Ladder, hours: TenantHours, opened_at: int) -> Iterator[Escalation]:
    """A group's seats, handed on along the chain; each link waits in the working time of the group that has them."""
    waiting, at = group, opened_at
    for to, seconds in ladder.escalations_of(group):
        at = after(hours.of(waiting), at, seconds)
        yield Escalation(group=group, to=to, at=at)
        waiting = to
