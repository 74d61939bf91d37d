"""`calendars.yaml`: what is written holds, and a mistake is one line that names its place."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from activities.calendars import Calendars
from contracts.decision import GroupCount, Requirement
from policy.ladder import Ladder
from settings import Settings, SettingsError
from settings.calendars import load_calendars

pytestmark = pytest.mark.req("A6")

LADDER = Ladder(rungs=(Requirement(id="one", needs=(GroupCount(group="leads", count=1),)),))
OFFICE = 'calendars: {office: {time_zone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}%s}}\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "calendars.yaml"
    file.write_text(text)
    return file


def test_the_shipped_file_counts_every_second() -> None:
    assert Calendars(Settings().calendars_file, LADDER).hours("acme").of("leads") is None


def test_days_spans_and_holidays_are_read(tmp_path: Path) -> None:
    text = """
calendars:
  office:
    time_zone: Europe/Berlin
    hours: {fri-mon: "22:00-06:00", tue: ["13:00-17:30", "08:00-12:00"], wed: "00:00-24:00"}
    holidays: [2026-12-24, "12-25", "02-29"]
"""
    office = load_calendars(written(tmp_path, text)).calendars["office"]
    night = ((1_320, 1_800),)
    assert office.week() == (night, ((480, 720), (780, 1_050)), ((0, 1_440),), (), night, night, night)
    assert office.dates() == {date(2026, 12, 24)}
    assert office.yearly() == {(12, 25), (2, 29)}


def test_a_group_has_its_own_calendar_or_the_tenants(tmp_path: Path) -> None:
    text = OFFICE % "" + "tenants: {acme: {calendar: office, groups: {leads: office}, expiry: working_time}}\n"
    hours = Calendars(written(tmp_path, text), LADDER).hours("acme")
    assert hours.of("leads") == hours.of("others") == hours.usual is not None
    assert hours.expiry


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OFFICE.replace("Europe/Berlin", "Mars/Olympus") % "", "no time zone 'Mars/Olympus'"),
        (OFFICE.replace("mon-fri", "monday") % "", "'monday' is no day"),
        (OFFICE.replace("mon-fri", "mon-fry") % "", "'mon-fry' is no day"),
        (OFFICE.replace("09:00-17:00", "9-17") % "", "hours"),
        (OFFICE.replace("09:00-17:00", "09:60-17:00") % "", "'09:60-17:00' is no time of work"),
        (OFFICE.replace("09:00-17:00", "09:00-09:00") % "", "'09:00-09:00' is no time of work"),
        (OFFICE.replace("09:00-17:00", "09:00-25:00") % "", "'09:00-25:00' is no time of work"),
        (OFFICE.replace('"09:00-17:00"', '"09:00-17:00", fri: "09:00-10:00"') % "", "fri is named twice"),
        (OFFICE % ', holidays: ["02-30"]', "no day 02-30"),
        (OFFICE % ", holidays: [2026-02-30]", "day is out of range for month"),
        (OFFICE % "" + "tenants: {acme: {calendar: home}}", "names the calendar home, which is not there"),
        (OFFICE % "" + "tenants: {acme: {calendar: office, expiry: never}}", "expiry"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_calendars(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'calendars.yaml'}:")


def test_a_group_that_nobody_asks_is_a_mistake(tmp_path: Path) -> None:
    text = OFFICE % "" + "tenants: {acme: {groups: {leeds: office}}}\n"
    with pytest.raises(SettingsError, match=r"calendars.yaml:2: .*leeds: the ladder asks no such group, only leads"):
        Calendars(written(tmp_path, text), LADDER)


def test_zones_are_known_where_the_machine_has_none() -> None:
    """Images without tzdata: the package of that name is what we depend on."""
    code = "import zoneinfo; zoneinfo.reset_tzpath(to=()); zoneinfo.ZoneInfo('Europe/Berlin')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
