"""Working time, against a clock that is walked quarter by quarter; and the days on which calendars go wrong."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.calendars import HORIZON_S, WorkCalendar, after
from tests.thorough import examples

pytestmark = pytest.mark.req("A6")

HOUR = 3_600
QUARTER = 900
NINE_TO_FIVE = ((9 * 60, 17 * 60),)
WEEKEND: tuple[tuple[tuple[int, int], ...], ...] = ((), ())
COPENHAGEN = ZoneInfo("Europe/Copenhagen")
OFFICE = WorkCalendar(COPENHAGEN, (NINE_TO_FIVE,) * 5 + WEEKEND)
NIGHTS = WorkCalendar(COPENHAGEN, (((22 * 60, 30 * 60),),) * 7)
ROUND_THE_CLOCK = (((0, 24 * 60),),) * 7

ZONES = ("Europe/Copenhagen", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "UTC",
         "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca")  # fmt: skip
_SPAN = st.tuples(st.integers(0, 95), st.integers(1, 96)).map(
    lambda pair: (pair[0] * 15, min(pair[0] + pair[1], 191) * 15)
)
_DAY = st.lists(_SPAN, max_size=2).map(lambda spans: tuple(sorted(spans)))
# Around the changes of clocks of several zones, a leap day, a day that Samoa left out, and the turn of a year.
_MOMENTS = st.sampled_from([
    datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2028, 2, 28, tzinfo=UTC), datetime(2011, 12, 29, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC),
]).flatmap(lambda start: st.integers(0, 144).map(lambda more: int(start.timestamp()) + more * QUARTER))  # fmt: skip


@st.composite
def calendars(draw: st.DrawFn) -> WorkCalendar:
    return WorkCalendar(
        ZoneInfo(draw(st.sampled_from(ZONES))),
        tuple(draw(st.lists(_DAY, min_size=7, max_size=7))),
        frozenset(draw(st.sets(st.sampled_from([date(2026, 3, 29), date(2028, 2, 29), date(2027, 1, 1)])))),
    )


def at(text: str, zone: ZoneInfo = COPENHAGEN, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp())


def walked(calendar: WorkCalendar, moment: int, quarters: int) -> int | None:
    """The same by brute force: a clock on the wall, quarter by quarter, for three days; None: not within them."""
    days = 96
    began = moment - 3 * days * QUARTER
    walls = [
        datetime.fromtimestamp(began + QUARTER * index, calendar.zone).replace(tzinfo=None) for index in range(8 * days)
    ]
    is_open = [False] * len(walls)
    day = walls[0].date()
    while day <= walls[-1].date():
        midnight = datetime.combine(day, datetime.min.time())
        for start, end in () if day in calendar.holidays else calendar.week[day.weekday()]:
            first, last = (
                next((i for i, wall in enumerate(walls) if wall >= midnight + timedelta(minutes=edge)), len(walls))
                for edge in (start, end)
            )
            is_open[first:last] = [True] * (last - first)
        day += timedelta(days=1)
    for index in range(3 * days, 6 * days):
        quarters -= is_open[index]
        if quarters == 0:
            return began + QUARTER * (index + 1)
    return None


@settings(max_examples=examples(100), deadline=None)
@given(calendars(), _MOMENTS, st.integers(1, 60))
def test_it_agrees_with_a_clock_on_the_wall(calendar: WorkCalendar, moment: int, quarters: int) -> None:
    expected = walked(calendar, moment, quarters)
    found = calendar.later(moment, quarters * QUARTER)
    assert found == expected if expected is not None else found > moment + 3 * 86_400


@settings(max_examples=examples(150), deadline=None)
@given(calendars(), _MOMENTS, st.integers(0, 90_000), st.integers(0, 90_000))
def test_time_that_is_split_is_the_same_time(calendar: WorkCalendar, moment: int, first: int, second: int) -> None:
    middle = calendar.later(moment, first)
    whole = calendar.later(moment, first + second)
    assert moment <= middle <= whole <= moment + HORIZON_S
    assert whole - moment >= first + second or whole == moment + HORIZON_S
    if whole < moment + HORIZON_S:
        assert calendar.later(middle, second) == whole


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(ZONES), _MOMENTS, st.integers(0, 400_000))
def test_round_the_clock_every_second_counts(zone: str, moment: int, seconds: int) -> None:
    assert WorkCalendar(ZoneInfo(zone), ROUND_THE_CLOCK).later(moment, seconds) == moment + seconds


def test_friday_evening_goes_on_on_monday() -> None:
    assert OFFICE.later(at("2026-11-20T16:30"), HOUR) == at("2026-11-23T09:30")
    assert OFFICE.later(at("2026-11-21T03:00"), 8 * HOUR) == at("2026-11-23T17:00")


def test_what_is_used_up_at_the_end_of_a_day_ends_there() -> None:
    assert OFFICE.later(at("2026-11-20T16:00"), HOUR) == at("2026-11-20T17:00")


def test_nobody_works_on_a_holiday() -> None:
    christmas = WorkCalendar(
        COPENHAGEN, OFFICE.week, frozenset({date(2026, 12, 24)}), frozenset({(12, 25), (12, 26), (1, 1)})
    )
    assert christmas.later(at("2026-12-23T16:00"), 2 * HOUR) == at("2026-12-28T10:00")
    assert christmas.later(at("2027-12-24T16:00"), 2 * HOUR) == at("2027-12-27T10:00")


def test_a_leap_day_is_a_day() -> None:
    assert OFFICE.later(at("2028-02-28T16:00"), 2 * HOUR) == at("2028-02-29T10:00")
    yearly = WorkCalendar(COPENHAGEN, OFFICE.week, yearly=frozenset({(2, 29)}))
    assert yearly.later(at("2028-02-28T16:00"), 2 * HOUR) == at("2028-03-01T10:00")


def test_the_night_of_the_change_is_an_hour_shorter_or_longer() -> None:
    # From 22:00 to 06:00 are seven hours in March and nine in October.
    assert NIGHTS.later(at("2026-03-28T22:00"), 7 * HOUR) == at("2026-03-29T06:00")
    assert NIGHTS.later(at("2026-03-28T22:00"), 7 * HOUR + 60) == at("2026-03-29T22:01")
    assert NIGHTS.later(at("2026-10-24T22:00"), 9 * HOUR) == at("2026-10-25T06:00")


def test_a_time_that_the_clock_jumps_over_is_the_jump() -> None:
    shift = WorkCalendar(COPENHAGEN, (((150, 300),),) * 7)  # 02:30 to 05:00
    assert shift.later(at("2026-03-29T01:00"), HOUR) == at("2026-03-29T04:00")


def test_half_hours_of_offset_count() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    calendar = WorkCalendar(kolkata, OFFICE.week)
    assert calendar.later(int(datetime(2026, 11, 20, 3, 0, tzinfo=UTC).timestamp()), HOUR) == at(
        "2026-11-20T10:00", kolkata
    )


def test_a_closed_calendar_ends_at_the_horizon() -> None:
    closed = WorkCalendar(COPENHAGEN, ((),) * 7)
    assert closed.later(1_000_000, 60) == 1_000_000 + HORIZON_S


def test_without_a_calendar_every_second_counts() -> None:
    assert after(None, 100, 50) == 150
    assert after(OFFICE, at("2026-11-20T16:30"), HOUR) == at("2026-11-23T09:30")
