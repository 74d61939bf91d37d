"""When people work: calendars by name, and which of them holds for a tenant and its groups."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from settings.tenants import TenantName
from settings.time_zones import TimeZone
from settings.yaml_files import load_yaml

__all__ = ["Calendar", "CalendarsFile", "TenantCalendars", "load_calendars"]

CalendarName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Group = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Yearly = Annotated[str, StringConstraints(pattern=r"^\d{2}-\d{2}$")]
Span = Annotated[str, StringConstraints(pattern=r"^\d{2}:\d{2}-\d{2}:\d{2}$")]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 1_440
_DAYS = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?")
_LEAP_YEAR = 2000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calendar(_Part):
    """Working hours of people somewhere."""

    time_zone: TimeZone
    """IANA name, such as `Europe/Berlin`: its clock is the one that is meant, summer time included."""
    hours: dict[str, Span | tuple[Span, ...]] = Field(min_length=1, max_length=7)
    """By day (`mon`) or days (`mon-fri`): `09:00-17:00`, or several. `22:00-06:00` ends the day after."""
    holidays: tuple[date | Yearly, ...] = Field(default=(), max_length=1_000)
    """Days without work: `2026-12-24`, or `12-25` of every year, in quotes. A night that starts before goes on."""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.week()
        self.yearly()
        return self

    def week(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Spans of each day from Monday, in minutes since its midnight, by their start.

        Raises:
            ValueError: no such day or time, or a day that is named twice.
        """
        found: dict[int, tuple[tuple[int, int], ...]] = {}
        for days, spans in self.hours.items():
            for day in _days_of(days):
                if day in found:
                    msg = f"{DAYS[day]} is named twice under hours"
                    raise ValueError(msg)
                found[day] = tuple(sorted(map(_span_of, (spans,) if isinstance(spans, str) else spans)))
        return tuple(found.get(day, ()) for day in range(len(DAYS)))

    def dates(self) -> frozenset[date]:
        """Holidays of one year."""
        return frozenset(day for day in self.holidays if isinstance(day, date))

    def yearly(self) -> frozenset[tuple[int, int]]:
        """Holidays of every year, as month and day. Raises ValueError: there is no such day."""
        found: set[tuple[int, int]] = set()
        for day in self.holidays:
            if isinstance(day, str):
                month, number = int(day[:2]), int(day[3:])
                try:
                    date(_LEAP_YEAR, month, number)
                except ValueError:
                    msg = f"there is no day {day} (month-day) in any year"
                    raise ValueError(msg) from None
                found.add((month, number))
        return frozenset(found)


class TenantCalendars(_Part):
    """Which calendars hold for a tenant."""

    calendar: CalendarName | None = None
    """Of groups that have none of their own; unset: every second counts."""
    groups: dict[Group, CalendarName] = Field(default_factory=dict, max_length=1_000)
    """Calendars of groups."""
    expiry: Literal["time", "working_time"] = "time"
    """What requests expire after. Reminders and escalations always go by working time."""


class CalendarsFile(_Part):
    """`calendars.yaml`."""

    calendars: dict[CalendarName, Calendar] = Field(default_factory=dict, max_length=1_000)
    """By name."""
    tenants: dict[TenantName, TenantCalendars] = Field(default_factory=dict, max_length=10_000)
    """A tenant that is not listed has none: every second counts."""

    @model_validator(mode="after")
    def _names_what_exists(self) -> Self:
        for tenant, mine in self.tenants.items():
            for name in (*((mine.calendar,) if mine.calendar else ()), *mine.groups.values()):
                if name not in self.calendars:
                    msg = f"{tenant} names the calendar {name}, which is not there"
                    raise ValueError(msg)
        return self


def load_calendars(file: Path) -> CalendarsFile:
    """Every calendar. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, CalendarsFile)


def _days_of(text: str) -> list[int]:
    found = _DAYS.fullmatch(text)
    names = [name for name in found.groups() if name] if found else []
    if not names or any(name not in DAYS for name in names):
        msg = f"{text!r} is no day: write {', '.join(DAYS)}, or two of them such as mon-fri"
        raise ValueError(msg)
    first, last = DAYS.index(names[0]), DAYS.index(names[-1])
    return [(first + step) % len(DAYS) for step in range((last - first) % len(DAYS) + 1)]


def _span_of(text: str) -> tuple[int, int]:
    hours = [int(part) for part in re.split(r"[:-]", text)]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if max(hours[1], hours[3]) >= 60 or start >= _DAY_MINUTES or end > _DAY_MINUTES or start == end:  # noqa: PLR2004 - minutes
        msg = f"{text!r} is no time of work: write 09:00-17:00; 22:00-06:00 ends the day after, 00:00-24:00 is all day"
        raise ValueError(msg)
    return (start, end) if end > start else (start, end + _DAY_MINUTES)
