"""Which effects are drawn: the same for whoever asks, as often as declared, and without the seed not to be foretold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.sampling import draw, lot

pytestmark = pytest.mark.req("A9")
SEED, OTHER = b"s" * 32, b"t" * 32
RUNS = [f"run-{number:026d}" for number in range(4_000)]


def drawn(seed: bytes, share: float) -> set[str]:
    return {run for run in RUNS if draw(seed, run, 3, 0, share=share, before=0, first=0)}


@given(st.binary(min_size=1, max_size=64), st.text(max_size=40), st.integers(0, 10_000))
def test_a_lot_is_a_share_and_always_the_same(seed: bytes, run: str, step: int) -> None:
    assert 0 <= lot(seed, run, step, 0) < 1
    assert lot(seed, run, step, 0) == lot(seed, run, step, 0)


def test_as_many_are_drawn_as_were_declared() -> None:
    for share in (0.05, 0.5):
        assert abs(len(drawn(SEED, share)) / len(RUNS) - share) < 0.03
    assert drawn(SEED, 0) == set()
    assert drawn(SEED, 1) == set(RUNS)


def test_another_seed_draws_others_and_a_higher_rate_draws_more_of_the_same() -> None:
    assert drawn(SEED, 0.1) != drawn(OTHER, 0.1)
    assert len(drawn(SEED, 0.1) & drawn(OTHER, 0.1)) < len(drawn(SEED, 0.1)) / 2
    assert drawn(SEED, 0.1) <= drawn(SEED, 0.2)


def test_the_first_of_a_version_are_all_drawn_and_say_so() -> None:
    first = draw(SEED, RUNS[0], 1, 0, share=0, before=19, first=20)
    assert first is not None
    assert (first.because, first.share) == ("first", 1.0)
    assert draw(SEED, RUNS[0], 1, 0, share=0, before=20, first=20) is None
