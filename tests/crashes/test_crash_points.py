"""Kill -9 of worker, Temporal and Postgres at the boundaries of runs, several runs at a time."""

from collections.abc import Sequence

import pytest

from tests.crashes.kills import kill_at
from tests.crashes.points import CrashPoint, Victims
from tests.crashes.stack import CrashStack

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.req("D1", "T4"), pytest.mark.timeout(180)]


def small(*points: str, commits: bool = False) -> list[CrashPoint]:
    return [CrashPoint("small", point, commits=commits) for point in points]


def large(*points: str, commits: bool = False) -> list[CrashPoint]:
    return [CrashPoint("large", point, commits=commits) for point in points]


CASES: Sequence[tuple[Victims, Sequence[CrashPoint]]] = [
    (
        "worker",
        [
            *small("open", "settle/3", "start/3", "finish/3", "sending", "close"),
            *small("reserve/2", "admit/3", "finish/4", "close", commits=True),
            *large("waiting", "admit/3"),
        ],
    ),
    ("temporal", [*small("settle/1", "start/3", "finish/3", "close"), *large("ask/3", "voted")]),
    (
        "postgres",
        [*small("open", "settle/2", "admit/3", "finish/3", "sending", "close"), *large("waiting", "answer/3")],
    ),
]


@pytest.mark.parametrize(("victim", "points"), CASES, ids=[victim for victim, _ in CASES])
async def test_every_run_goes_on_where_it_was(stack: CrashStack, victim: Victims, points: Sequence[CrashPoint]) -> None:
    assert await kill_at(stack, victim, points) == {}
