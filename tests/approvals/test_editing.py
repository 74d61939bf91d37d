"""What a form offers for an argument, how what was typed is read, and what is said of what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from approvals.editing import inputs_of, problems_of, read_inputs
from contracts.base import JsonObject
from tests.approvals.scene import ARGUMENTS

pytestmark = pytest.mark.req("A5")
ASKED: JsonObject = {
    "order_id": "ord_2002",
    "amount_minor": 48_000,
    "currency": "EUR",
    "reason_code": "late_delivery",
    "note": "12 days\r\nlate",
}


def as_posted(schema: JsonObject, arguments: JsonObject) -> dict[str, str]:
    """What a form with these arguments posts when nobody changes it."""
    return {one.name: one.text for one in inputs_of(schema, arguments)}


def typed(**changes: str) -> dict[str, str]:
    return {**as_posted(ARGUMENTS, ASKED), **changes}


def test_each_argument_gets_the_field_that_fits_it() -> None:
    kinds = {one.name: one.kind for one in inputs_of(ARGUMENTS, ASKED)}
    assert kinds == {
        "order_id": "text", "amount_minor": "money", "currency": "text", "reason_code": "choice", "note": "long",
    }  # fmt: skip
    money = next(one for one in inputs_of(ARGUMENTS, ASKED) if one.name == "amount_minor")
    assert (money.text, money.unit, money.now) == ("480.00", "EUR", "EUR 480.00")


def test_a_form_that_nobody_touched_changes_nothing() -> None:
    posted = {name: text.replace("\r\n", "\n").replace("\n", "\r\n") for name, text in typed().items()}
    assert read_inputs(ARGUMENTS, ASKED, posted) == (ASKED, {})
    assert list(problems_of(ARGUMENTS, ASKED, ASKED)) == [""]


@pytest.mark.parametrize(
    ("text", "minor"), [("200", 20_000), ("200.5", 20_050), ("0.01", 1), (" EUR 7 ", 700), ("1e3", 100_000)]
)
def test_an_amount_is_typed_as_people_write_it(text: str, minor: int) -> None:
    edited, problems = read_inputs(ARGUMENTS, ASKED, typed(amount_minor=text))
    assert (edited["amount_minor"], problems) == (minor, {})


@pytest.mark.parametrize("text", ["", "two", "200.005", "2,000", "NaN", "Infinity", "9" * 30])
def test_an_amount_that_could_mean_something_else_is_not_guessed(text: str) -> None:
    _, problems = read_inputs(ARGUMENTS, ASKED, typed(amount_minor=text))
    assert "EUR" in problems["amount_minor"]


def test_an_optional_argument_is_left_out_by_an_empty_field() -> None:
    edited, _ = read_inputs(ARGUMENTS, ASKED, typed(note=""))
    assert edited["note"] is None
    assert problems_of(ARGUMENTS, ASKED, edited) == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("amount_minor", 0, "Must be at least 1."),
        ("amount_minor", "many", "Must be a whole number."),
        ("order_id", "no spaces", "Must have the form ^[A-Za-z0-9_-]{1,64}$."),
        ("reason_code", "because", "Must be one of: late_delivery, damaged_item, goodwill."),
    ],
)
def test_what_is_wrong_is_said_at_its_argument(name: str, value: JsonValue, words: str) -> None:
    assert problems_of(ARGUMENTS, ASKED, {**ASKED, name: value}) == {name: words}


def test_arguments_that_the_tool_does_not_know_or_that_are_gone_are_refused() -> None:
    assert problems_of(ARGUMENTS, ASKED, {**ASKED, "to": "me"}) == {"": "Has a part that the tool does not know."}
    assert "note" in problems_of(ARGUMENTS, ASKED, {key: value for key, value in ASKED.items() if key != "note"})
    assert "too large" in problems_of(ARGUMENTS, ASKED, {**ASKED, "amount_minor": 2**60})[""]
    assert "too long" in problems_of(ARGUMENTS, ASKED, {**ASKED, "note": "x" * 40_000})[""]


@given(text=st.text(max_size=80), amount=st.integers(1, 10**9), note=st.none() | st.text(max_size=50))
def test_whatever_is_typed_is_read_or_refused_with_words(text: str, amount: int, note: str | None) -> None:
    asked: JsonObject = {**ASKED, "amount_minor": amount, "note": note}
    posted = {**as_posted(ARGUMENTS, asked), "amount_minor": text}
    edited, problems = read_inputs(ARGUMENTS, asked, posted)
    assert set(problems) <= {"amount_minor"}
    assert all(words.endswith(".") for words in problems.values())
    if not problems:
        assert isinstance(edited["amount_minor"], int)
    assert read_inputs(ARGUMENTS, asked, as_posted(ARGUMENTS, asked))[0] == asked
