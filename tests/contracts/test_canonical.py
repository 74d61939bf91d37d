"""Canonical JSON: the fast way and the reference write the same bytes, and refuse the same values."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.canonical import canonical_bytes, digest
from tests.thorough import examples

_TEXT = st.text() | st.text(alphabet='\x00\x1f\x7f\u2028\ud7ff\ue000\uffff\U0001f600"\\/\b\f\n\r\taZ')
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**55), 2**55)
    | st.floats()
    | _TEXT
    | st.text(alphabet=st.characters(categories=["Cs"]), max_size=2)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXT, inner, max_size=5) | st.tuples(inner, inner),
    max_leaves=20,
)


class Colour(StrEnum):
    RED = "red"


def _outcome(encode: Callable[[Any], bytes], value: object) -> bytes | type[BaseException]:
    try:
        return encode(value)
    except rfc8785.CanonicalizationError as error:
        return type(error)


@given(_VALUES)
@settings(max_examples=examples(1_000), deadline=None)
def test_every_value_gets_the_bytes_or_the_error_of_the_reference(value: object) -> None:
    assert _outcome(canonical_bytes, value) == _outcome(rfc8785.dumps, value)


@pytest.mark.parametrize(
    "value", [{"b": Colour.RED, "a": (1, True)}, {1: "x"}, {"x": object()}, {"é": 1, "z": 2}, -0.0]
)
def test_what_stands_beside_plain_json_is_treated_alike(value: object) -> None:
    assert _outcome(canonical_bytes, value) == _outcome(rfc8785.dumps, value)


def test_the_order_of_names_does_not_change_a_digest() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest([1, 2]) != digest([2, 1])
