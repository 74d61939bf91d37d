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
    "data_class": "internal", "forbidden_after": [], "halted": False, "missing_steps": [], "money_minor": 0,
    "money_today_minor": 0, "outgoing": [], "outgoing_action": "none", "repeated": False, "requested": False,
    "requested_all": False, "reversible": False, "spent": [], "tainted_arguments": [],
    "tier_because": ["declared", "data", "money"], "unproven": [], "tenant": "acme", "agent": "desk",
    "run": {"__entity": {"type": "Run", "id": "acme/run-1"}}, "run_age_s": 5, "now_s": 12, "tier": 3,
    "args": {"order": "ORD-1"},
}  # fmt: skip
ENTITIES: list[dict[str, Any]] = [
    {"uid": {"type": "Tenant", "id": "acme"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Agent", "id": "acme/desk"}, "attrs": {"tenant": "acme", "name": "desk"},
     "parents": [{"type": "Tenant", "id": "acme"}]},
    {"uid": {"type": "Run", "id": "acme/run-1"},
     "attrs": {"tenant": "acme", "agent": {"__entity": {"type": "Agent", "id": "acme/desk"}}, "opened_s": 7},
     "parents": [{"type": "Tenant", "id": "acme"}]},
    {"uid": {"type": "Thing", "id": "acme/1"}, "attrs": {"tenant": "acme", "key": "1"},
     "parents": [{"type": "Tenant", "id": "acme"}]},
    {"uid": {"type": "Run", "id": "acme/run-2"}, "attrs": {"tenant": "acme"}, "parents": []},
    {"uid": {"type": "Agent", "id": "acme/other"}, "attrs": {"tenant": "acme", "name": ""},
     "parents": [{"type": "Tenant", "id": "acme"}]},
    {"uid": {"type": "Odd", "id": "north/x"}, "attrs": {"tenant": "south"}, "parents": []},
]  # fmt: skip


NAMES = st.sampled_from(
    ['Agent::"acme/desk"', 'Thing::"acme/1"', 'Run::"acme/run-1"', 'Tenant::"acme"', "Agent::x", ""]
)


def request(
    context: Mapping[str, Any],
    entities: list[dict[str, Any]],
    principal: str = 'Agent::"acme/desk"',
    resource: str = 'Thing::"acme/1"',
) -> dict[str, Any]:
    return {
        "principal": principal, "action": 'Action::"desk.read"', "resource": resource, "context": dict(context),
        "entities": entities,
    }  # fmt: skip


def test_a_usual_request_becomes_much_shorter_and_comes_back_whole() -> None:
    whole = request(WHOLE, ENTITIES)
    short = shortened(whole)
    assert short["context"] == {"now_s": 12, "tier": 3, "args": {"order": "ORD-1"}}
    assert short["entities"] == [
        ["Tenant"], ["Agent"], ["Run", "acme/run-1", {"opened_s": 7}], ["Thing"], ENTITIES[4],
        ["Agent", "acme/other", {"name": ""}], ENTITIES[6],
    ]  # fmt: skip
    assert restored(short) == whole


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(WHOLE)) | st.text(max_size=6), JSON, max_size=25),
    st.lists(st.sampled_from(ENTITIES) | ENTITY, max_size=4),
    NAMES,
    NAMES,
)
def test_whatever_it_holds_it_comes_back_as_it_was(
    context: dict[str, Any], entities: list[dict[str, Any]], principal: str, resource: str
) -> None:
    for held in (context, {**WHOLE, **context}):
        whole = request(held, entities, principal, resource)
        text = json.dumps(restored(shortened(whole)), sort_keys=True)
        assert text == json.dumps(whole, sort_keys=True)


def test_a_recorded_request_is_read_whole() -> None:
    asked = request_for()
    recorded = asked.model_dump_json()
    assert AuthorizationRequest.model_validate_json(recorded) == asked
    assert AuthorizationRequest.model_validate(json.loads(recorded)) == asked


def test_what_was_never_there_does_not_come_back_as_harmless() -> None:
    for name in WHOLE.keys() - {"now_s", "tier", "args"}:
        part = {key: value for key, value in WHOLE.items() if key != name}
        found = restored(shortened(request(part, [])))
        assert isinstance(found, dict)
        assert name not in found["context"]


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValidationError, match="form 2"):
        AuthorizationRequest.model_validate({**request(WHOLE, []), "short_form": 2})
