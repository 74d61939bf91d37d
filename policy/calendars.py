"""Working time: when so many seconds of it have passed since a moment. Pure: calendars are data, no clock is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["ALWAYS", "HORIZON_S", "TenantHours", "WorkCalendar", "after"]

HORIZON_S = 366 * 86_400
"""No moment lies further ahead: a calendar that is closed for longer does not keep a run waiting for years."""

Span = tuple[int, int]
"""Start and end in minutes since midnight of the day on which it starts; beyond 1,440 it goes on the day after."""


@dataclass(frozen=True)
class WorkCalendar:
    """When people of a group work."""

    zone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    """Seven days, Monday first; the spans of a day by their start."""
    holidays: frozenset[date] = frozenset()
    """Days on which no span starts."""
    yearly: frozenset[tuple[int, int]] = frozenset()
    """The same for every year: month and day."""

    def later(self, moment: int, seconds: int) -> int:
        """When so many working seconds have passed since the moment (Unix seconds).

        What is used up at the end of a span ends there, not at the next start.
        """
        if seconds <= 0:
            return moment
        limit, left, reached = moment + HORIZON_S, seconds, moment
        for start, end in self._spans_from(moment, limit):
            # Spans may overlap (a night shift and the morning after): no second counts twice.
            begin = max(start, reached)
            if end <= begin:
                continue
            if left <= end - begin:
                return min(begin + left, limit)
            left -= end - begin
            reached = end
        return limit

    def _spans_from(self, moment: int, limit: int) -> Iterator[tuple[int, int]]:
        """Spans by their start, as Unix seconds: from the day before the moment, whose night may reach into it."""
        day = datetime.fromtimestamp(moment, self.zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(limit, self.zone).date()
        while day <= last:
            if day not in self.holidays and (day.month, day.day) not in self.yearly:
                for start, end in self.week[day.weekday()]:
                    yield self._first(day, start), self._first(day, end)
            day += timedelta(days=1)

    def _first(self, day: date, minutes: int) -> int:
        """The first instant at which the local clock shows that time, or is past it."""
        wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
        first, other = (int(wall.replace(tzinfo=self.zone, fold=fold).timestamp()) for fold in (0, 1))
        if other >= first:
            return first
        # The clock jumps over it. The jump lies between the two readings: the first second with the later offset.
        before, after_ = other, first
        offset = datetime.fromtimestamp(after_, self.zone).utcoffset()
        while after_ - before > 1:
            middle = (before + after_) // 2
            if datetime.fromtimestamp(middle, self.zone).utcoffset() == offset:
                after_ = middle
            else:
                before = middle
        return after_


@dataclass(frozen=True)
class TenantHours:
    """The calendars of a tenant. Without one, every second counts."""

    usual: WorkCalendar | None = None
    """Of groups that have none of their own."""
    groups: Mapping[str, WorkCalendar] = field(default_factory=dict[str, WorkCalendar])
    expiry: bool = False
    """Whether requests expire after so much working time, instead of after so much time."""

    def of(self, group: str) -> WorkCalendar | None:
        """The calendar of a group."""
        return self.groups.get(group, self.usual)


ALWAYS = TenantHours()
"""Of a tenant that has no calendar."""


def after(calendar: WorkCalendar | None, moment: int, seconds: int) -> int:
    """So many seconds of the calendar's time after the moment."""
    return moment + seconds if calendar is None else calendar.later(moment, seconds)
