"""What a request's page says of its moments: all of them, also where several fall on one."""

from datetime import UTC, datetime

import pytest

from approvals.timetable import timetable
from contracts.approval import Escalation

pytestmark = pytest.mark.req("A6")

AT = 1_800_000_000
SLA = datetime.fromtimestamp(AT, UTC)
ALL_AT_ONCE = (
    Escalation(group="support-leads", to="finance", at=AT),
    Escalation(group="finance", to="board", at=AT),
    Escalation(group="legal", to="board", at=AT),
)


@pytest.mark.parametrize(("now_s", "which"), [(AT - 60, "may decide as well, in"), (AT, "since then, in")])
def test_moments_that_fall_on_one_are_all_named(now_s: int, which: str) -> None:
    lines = timetable(ALL_AT_ONCE, sla_at=SLA, now=datetime.fromtimestamp(now_s, UTC))
    said = [line.words for line in lines]
    assert said[0].startswith("a decision")
    assert [line.partition(" may")[0] for line in said[1:]] == ["board", "finance"]
    assert all(which in line for line in said[1:])
    assert said[1].endswith("finance and legal")
