"""Retry hints, cleaned words, and tool names on the wire."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.models.errors import MAX_RETRY_AFTER_S, retry_after_s, scrub
from activities.models.names import MAX_LENGTH, WireNames

pytestmark = pytest.mark.req("B4")

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "86400"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "inf"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_hints_are_read_and_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


@given(st.text())
def test_any_retry_hint_is_bounded_or_absent(text: str) -> None:
    wait_s = retry_after_s({"retry-after": text}, NOW)
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S


def test_keys_do_not_survive_in_errors() -> None:
    words = scrub("Incorrect API key provided: sk-proj-abc***xyz9. Also my-secret.\n" + "x" * 500, "my-secret")
    assert "sk-proj" not in words
    assert "my-secret" not in words
    assert len(words) <= 160
    assert "\n" not in words


def test_our_names_are_readable_on_the_wire() -> None:
    names = WireNames(["payments.issue_refund", "finish"])
    assert names.out("payments.issue_refund") == "payments-issue_refund"
    assert names.back("payments-issue_refund") == "payments.issue_refund"
    assert names.out("finish") == "finish"
    assert names.back("payments-wipe_out") == "payments.wipe_out"


@given(
    st.lists(
        st.one_of(st.text(max_size=90), st.from_regex(r"[a-z]{1,40}[.\-_][a-z]{1,40}", fullmatch=True)), unique=True
    )
)
def test_every_name_goes_out_safe_and_comes_back_itself(names: list[str]) -> None:
    wire = WireNames(names)
    sent = [wire.out(name) for name in names]
    assert len(set(sent)) == len(names)
    for name, out in zip(names, sent, strict=True):
        assert 1 <= len(out) <= MAX_LENGTH
        assert set(out) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
        assert wire.back(out) == name
