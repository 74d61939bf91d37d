"""The recorded form of a request leaves out only what it gives back."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.decision import AuthorizationRequest
from contracts.short_form import restored, shortened
from tests.policy.desk import request_for

pytestmark = pytest.mark.req("H1")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTITY = st.dictionaries(st.sampled_from(["uid", "attrs", "parents"]), JSON)
WHOLE: dict[str, Any] = {
    "amount_minor": 0, "break_glass": [], "calls_today": 0, "currency": "", "customer_visible": False,
    "forbidden_after": [], "halted": False, "missing_steps": [], "money_minor": 0, "money_today_minor": 0,
    "outgoing": [], "outgoing_action": "none", "repeated": False, "requested": False, "requested_all": False,
    "reversible": False, "spent": [], "tainted_arguments": [], "unproven": [], "tier": 3, "args": {"order": "ORD-1"},
}  # fmt: skip
ENTITIES: list[dict[str, Any]] = [
    {"uid": {"type": "Tenant", "id": "acme"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Agent", "id": "acme/desk"}, "attrs": {"tenant": "acme", "name": "desk"},
     "parents": [{"type": "Tenant", "id": "acme"}]},
    {"uid": {"type": "Odd", "id": "north/x"}, "attrs": {"tenant": "south"}, "parents": []},
]  # fmt: skip


def request(context: Mapping[str, Any], entities: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "principal": 'Agent::"acme/desk"', "action": 'Action::"desk.read"', "resource": 'Thing::"acme/1"',
        "context": dict(context), "entities": entities,
    }  # fmt: skip


def test_a_usual_request_becomes_much_shorter_and_comes_back_whole() -> None:
    whole = request(WHOLE, ENTITIES)
    short = shortened(whole)
    assert short["context"] == {"tier": 3, "args": {"order": "ORD-1"}}
    assert short["entities"] == [["Tenant", "acme", {}], ["Agent", "acme/desk", {"name": "desk"}], ENTITIES[2]]
    assert restored(short) == whole


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(WHOLE)) | st.text(max_size=6), JSON, max_size=25),
    st.lists(st.sampled_from(ENTITIES) | ENTITY, max_size=4),
)
def test_whatever_it_holds_it_comes_back_as_it_was(context: dict[str, Any], entities: list[dict[str, Any]]) -> None:
    for held in (context, {**WHOLE, **context}):
        whole = request(held, entities)
        text = json.dumps(restored(shortened(whole)), sort_keys=True)
        assert text == json.dumps(whole, sort_keys=True)


def test_a_recorded_request_is_read_whole() -> None:
    asked = request_for()
    recorded = asked.model_dump_json()
    assert AuthorizationRequest.model_validate_json(recorded) == asked
    assert AuthorizationRequest.model_validate(json.loads(recorded)) == asked


def test_what_was_never_there_does_not_come_back_as_harmless() -> None:
    for name in WHOLE.keys() - {"tier", "args"}:
        part = {key: value for key, value in WHOLE.items() if key != name}
        found = restored(shortened(request(part, [])))
        assert isinstance(found, dict)
        assert name not in found["context"]


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValidationError, match="form 2"):
        AuthorizationRequest.model_validate({**request(WHOLE, []), "short_form": 2})
