"""How a run ends, told to people."""

import pytest

from contracts.outcome import OutcomeReason

pytestmark = pytest.mark.req("D2")


@pytest.mark.parametrize("reason", OutcomeReason)
def test_every_reason_is_a_sentence(reason: OutcomeReason) -> None:
    words = reason.in_words()
    assert words[0].isupper()
    assert words.endswith(".")
