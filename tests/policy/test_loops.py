"""Circles that a run can go in, each found, named, and not found in honest work."""

import pytest

from contracts.agent import LoopLimits
from contracts.loops import LoopState
from policy.loops import CallSeen, LoopVerdict, LoopWatch

pytestmark = pytest.mark.req("B2")

QUICK = LoopLimits(identical=3, alternating=2, errors=3, no_news=3, no_progress=4, warn=False)


def read(name: str, output: str) -> CallSeen:
    return CallSeen(f"desk.{name}", f"sha256:{name}", "ran", output, wrote=False)


def failed(name: str, status: str = "failed") -> CallSeen:
    return CallSeen(f"desk.{name}", f"sha256:{name}", status, "", wrote=False)


def wrote(name: str) -> CallSeen:
    return CallSeen(f"desk.{name}", f"sha256:{name}", "ran", f"done {name}", wrote=True)


def first_verdict(watch: LoopWatch, steps: list[list[CallSeen]]) -> tuple[int, LoopVerdict] | None:
    for number, calls in enumerate(steps, 1):
        verdict = watch.step(calls)
        if verdict is not None:
            return number, verdict
    return None


A, B, C = read("a", "1"), read("b", "2"), read("c", "3")


@pytest.mark.parametrize(
    ("kind", "at", "steps"),
    [
        ("identical", 3, [[A], [A], [A]]),
        ("identical", 5, [[A], [B], [A], [C], [A]]),
        ("identical", 3, [[A, B], [B], [B, C]]),
        ("alternating", 4, [[A], [B], [A], [B]]),
        ("errors", 3, [[failed("a")], [failed("b", "denied")], [failed("c", "refused")]]),
        ("no_news", 6, [[A], [B], [C], [read("d", "1")], [read("e", "2")], [read("f", "3")]]),
        ("no_progress", 5, [[A], [failed("b")], [read("d", "1")], [failed("c")], [read("e", "1")]]),
    ],
)
def test_a_circle_is_named(kind: str, at: int, steps: list[list[CallSeen]]) -> None:
    found = first_verdict(LoopWatch(QUICK), steps)
    assert found is not None
    number, verdict = found
    assert (verdict.kind, number) == (kind, at)
    assert "desk." in verdict.detail
    assert not verdict.warn


def test_the_detail_names_tool_and_count() -> None:
    found = first_verdict(LoopWatch(QUICK), [[A]] * 3)
    assert found is not None
    assert found[1].detail == "desk.a was called 3 times with the same arguments and the same result"


@pytest.mark.parametrize(
    "steps",
    [
        [[read("poll", str(number))] for number in range(50)],
        [[wrote(str(number))] for number in range(50)],
        [[failed("a")], [A], [failed("b")], [B], [failed("c")], [C]] * 1,
        [[A], [], [A], []],
        [[failed(str(number)) for number in range(20)]],
    ],
    ids=["a poll that brings news", "writes", "errors between successes", "steps without calls", "one burst of errors"],
)
def test_honest_work_is_no_circle(steps: list[list[CallSeen]]) -> None:
    assert first_verdict(LoopWatch(QUICK), steps) is None


def test_the_model_is_warned_once_then_the_run_ends() -> None:
    watch = LoopWatch(QUICK.model_copy(update={"warn": True}))
    verdicts = [watch.step([A]) for _ in range(6)]
    assert [verdict and verdict.warn for verdict in verdicts] == [None, None, True, None, None, False]


def test_a_circle_is_found_across_executions() -> None:
    limits = QUICK.model_copy(update={"warn": True})
    whole, parts = LoopWatch(limits), LoopState()
    for number in range(12):
        calls = [A] if number % 2 else [B]
        in_one = whole.step(calls)
        again = LoopWatch(limits, LoopState.model_validate_json(parts.model_dump_json()))
        assert again.step(calls) == in_one
        parts = again.state


def test_what_is_carried_is_bounded() -> None:
    watch = LoopWatch(LoopLimits(identical=1_000, alternating=1_000, errors=1_000, no_news=1_000, no_progress=1_000))
    for number in range(2_000):
        watch.step([read(f"{number}-{call}", f"{number}-{call}") for call in range(8)])
    assert len(watch.state.model_dump_json()) < 32_000
