"""The calendars of the settings, as policy counts by them."""

from pathlib import Path
from zoneinfo import ZoneInfo

from policy.calendars import ALWAYS, TenantHours, WorkCalendar
from policy.ladder import Ladder
from settings.calendars import Calendar, load_calendars
from settings.yaml_files import mistake

__all__ = ["Calendars"]


class Calendars:
    """`calendars.yaml`, as it was when the process began."""

    def __init__(self, file: Path, ladder: Ladder) -> None:
        """Raises SettingsError: the file has a mistake, or names a group that nobody ever asks."""
        read = load_calendars(file)
        asked = {need.group for rung in ladder.rungs for need in rung.needs}
        asked |= {rule.escalates_to for rule in ladder.groups.values()}
        for tenant, mine in read.tenants.items():
            for group in mine.groups:
                if group not in asked:
                    known = ", ".join(sorted(asked))
                    raise mistake(
                        file, ("tenants", tenant, "groups", group), f"the ladder asks no such group, only {known}"
                    )
        calendars = {name: _compiled(calendar) for name, calendar in read.calendars.items()}
        self._tenants = {
            tenant: TenantHours(
                usual=calendars[mine.calendar] if mine.calendar else None,
                groups={group: calendars[name] for group, name in mine.groups.items()},
                expiry=mine.expiry == "working_time",
            )
            for tenant, mine in read.tenants.items()
        }

    def hours(self, tenant: str) -> TenantHours:
        """The calendars of a tenant."""
        return self._tenants.get(tenant, ALWAYS)


def _compiled(calendar: Calendar) -> WorkCalendar:
    return WorkCalendar(
        zone=ZoneInfo(calendar.time_zone), week=calendar.week(), holidays=calendar.dates(), yearly=calendar.yearly()
    )
