"""Values on a page: however deep they lie, nothing in them stays unseen."""

import pytest
from pydantic import JsonValue

from approvals.values import arguments_of, cautions_of, fields_of
from tests.approvals.scene import refund_view

pytestmark = pytest.mark.req("A2")


def test_what_lies_deeper_than_a_page_can_name_is_shown_as_it_is_sent() -> None:
    value: JsonValue = {"to": "p\u0430ypal", "cc": [True, None]}
    for _ in range(12):
        value = {"in": value}
    (field,) = fields_of(value)
    assert field.kind == "text"  # so that characters which deceive are shown as codes
    assert field.text.endswith('{"to": "p\u0430ypal", "cc": [true, null]}}}}}')
    view = refund_view("run-" + "a" * 26, arguments={"deep": value}, provenance={})
    assert [one.name for one in cautions_of(view, arguments_of(view))] == ["Deep"]
