"""A decision is allow, deny or needs_approval of the lowest rung that helps; whatever goes wrong is a denial."""

from collections.abc import Sequence

import cedarpy
import pytest
from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.decision import Allowed, AuthorizationRequest, Denied, GrantKind, NeedsApproval
from policy.bundle import Bundle
from policy.cedar import CedarEngine, Evaluation, entity_name, form_of
from policy.decide import decide
from policy.ladder import Ladder
from policy.schema import cedar_schema
from tests.policy.desk import LADDER, PERMIT_ALL, READ, WRITE, bundle_of, request_for

NONE: list[JsonObject] = []
pytestmark = pytest.mark.req("P1", "P2", "P4")


def forbid(policy_id: str, condition: str, kind: str = "unless") -> str:
    notes = f'@id("{policy_id}") @reason("Because of {policy_id}.")'
    return f"{notes} forbid (principal, action, resource) {kind} {{ {condition} }};\n"


def unchecked(policies: str) -> Bundle:
    """A bundle whose policies went past every check of a bundle, as if the checks had missed something."""
    engine = CedarEngine(policies, cedar_schema([READ, WRITE]))
    return Bundle(digest="sha256:" + "0" * 64, engine=engine, ladder=LADDER, texts={})


def test_what_policy_permits_is_allowed_with_the_permit_as_reason() -> None:
    record = decide(bundle_of(a=PERMIT_ALL), request_for())
    assert isinstance(record.decision, Allowed)
    assert [(reason.policy, reason.text) for reason in record.decision.reasons] == [
        ("desk-everything", "The desk may do everything.")
    ]


def test_what_nothing_permits_is_denied() -> None:
    decision = decide(bundle_of(a=PERMIT_ALL), request_for(principal="stranger")).decision
    assert decision == Denied(reasons=())


def test_what_no_rung_lifts_is_denied_with_the_forbid_as_reason() -> None:
    bundle = bundle_of(a=PERMIT_ALL, b=forbid("desk-never", "context.halted || true", "when"))
    decision = decide(bundle, request_for()).decision
    assert isinstance(decision, Denied)
    assert [reason.policy for reason in decision.reasons] == ["desk-never"]


def test_a_denial_names_no_forbid_that_people_could_lift() -> None:
    never, asks = forbid("desk-never", "context.halted || true", "when"), forbid("desk-asks", "context.approvers >= 1")
    decision = decide(bundle_of(a=PERMIT_ALL, b=never, c=asks), request_for()).decision
    assert [reason.policy for reason in decision.reasons] == ["desk-never"]
    unpermitted = decide(bundle_of(a=PERMIT_ALL, c=asks), request_for(principal="stranger")).decision
    assert unpermitted == Denied(reasons=())
    apart = [forbid(f"desk-{rung}", f'context.granted.contains("{rung}")') for rung in ("one-lead", "one-finance")]
    unmet = decide(bundle_of(a=PERMIT_ALL, b="".join(apart)), request_for()).decision
    assert [reason.policy for reason in unmet.reasons] == ["desk-one-lead"], "what denies where most people agree"


@pytest.mark.parametrize(
    ("condition", "rung"),
    [
        ('context.granted.contains("one-lead")', "one-lead"),
        ('context.granted.contains("one-finance")', "one-finance"),
        ('context.granted.contains("two-finance")', "two-finance"),
        ('context.granted.containsAny(["two-finance", "one-finance"])', "one-finance"),
        ("context.approvers >= 1", "one-lead"),
        ("context.approvers >= 2", "two-finance"),
    ],
)
def test_the_lowest_rung_that_helps_is_asked(condition: str, rung: str) -> None:
    bundle = bundle_of(a=PERMIT_ALL, b=forbid("desk-asks", condition))
    decision = decide(bundle, request_for()).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.requirement.id == rung
    assert [reason.policy for reason in decision.reasons] == ["desk-asks", "desk-everything"]


def test_a_permit_may_wait_for_a_rung_too() -> None:
    permit = '@id("desk-asks") @reason("r") permit (principal, action, resource) when { context.approvers > 0 };'
    decision = decide(bundle_of(a=permit), request_for()).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.requirement.id == "one-lead"


def test_what_is_held_is_decided_and_a_lower_rung_does_not_pass_for_a_higher() -> None:
    bundle = bundle_of(a=PERMIT_ALL, b=forbid("desk-asks", 'context.granted.contains("two-finance")'))
    request = request_for()
    assert decide(bundle, request, granted=("one-finance", "two-finance"), approvers=2).decision.kind == "allow"
    short = decide(bundle, request, granted=("one-lead", "one-finance"), approvers=2)
    assert isinstance(short.decision, NeedsApproval)
    assert short.decision.requirement.id == "two-finance"
    assert short.granted == ("one-lead", "one-finance")


def test_the_record_holds_the_whole_request_and_the_digest_of_what_decided() -> None:
    bundle, request = bundle_of(a=PERMIT_ALL), request_for()
    record = decide(bundle, request)
    assert record.request == request
    assert record.bundle_digest == bundle.digest
    again = type(record).model_validate_json(record.model_dump_json())
    assert decide(bundle, again.request) == record


OVERFLOW = forbid("desk-overflow", "context.calls + 9223372036854775807 > 0", "when")


def test_a_forbid_that_errors_is_a_denial_although_cedar_skips_it() -> None:
    request = request_for(context={"calls": 1})
    raw = cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType] - untyped dicts
        {
            "principal": request.principal,
            "action": request.action,
            "resource": request.resource,
            "context": {**request.context, "granted": [], "approvers": 0},
        },
        PERMIT_ALL + OVERFLOW,
        [dict(entity) for entity in request.entities],
    )
    assert raw.allowed
    decision = decide(unchecked(PERMIT_ALL + OVERFLOW), request).decision
    assert isinstance(decision, Denied)
    assert "overflow" in decision.errors[0]


def test_an_error_that_only_a_grant_brings_about_is_a_denial_too() -> None:
    waits = forbid("desk-waits", "context.approvers >= 2")
    later = forbid("desk-later", "context.approvers >= 1 && context.calls + 9223372036854775807 > 0", "when")
    decision = decide(unchecked(PERMIT_ALL + waits + later), request_for(context={"calls": 1})).decision
    assert isinstance(decision, Denied)
    assert decision.errors


@pytest.mark.parametrize(
    "context",
    [
        {"tier": "0"},
        {"tier": None},
        {"tier": 0.0},
        {"tier": 2**63},
        {"run": "run-1"},
        {"run": {"__entity": {"type": "Thing", "id": "acme/1"}}},
        {"halted": None},
        {"completed": "crm.read"},
        {"completed": [1]},
        {"missing_steps": None},
        {"currency": 3},
        {"args": {}},
        {"args": {"key": 1, "count": 0}},
        {"args": {"key": "1", "count": "0"}},
        {"args": {"key": "1", "count": 0, "more": True}},
        {"args": None},
        {"provenance": {"key": True}},
        {"provenance": {"unknown": "trusted"}},
        {"unknown": 1},
    ],
)
def test_a_context_of_another_type_is_a_denial(context: dict[str, object]) -> None:
    decision = decide(bundle_of(a=PERMIT_ALL), request_for(context=context)).decision
    assert isinstance(decision, Denied)
    assert decision.errors


@pytest.mark.parametrize(
    "changes",
    [
        {"principal": entity_name("User", "acme/desk")},
        {"principal": "desk"},
        {"principal": ""},
        {"action": entity_name("Action", "desk.unknown")},
        {"action": entity_name("Action", "read")},
        {"resource": entity_name("Nothing", "acme/1")},
        {"resource": entity_name("Agent", "acme/desk")},
        {"entities": ()},
        {"entities": ({"uid": {"type": "Agent", "id": "acme/desk"}, "attrs": {"tenant": 1}, "parents": NONE},)},
        {"entities": ({"nonsense": 1},)},
        {"context": {}},
    ],
)
def test_a_request_that_the_schema_does_not_know_is_a_denial(changes: dict[str, object]) -> None:
    request = AuthorizationRequest.model_validate({**request_for().model_dump(), **changes})
    wall = forbid("desk-wall", "principal.tenant == resource.tenant")
    decision = decide(bundle_of(a=PERMIT_ALL, b=wall), request).decision
    assert isinstance(decision, Denied)
    assert decision.errors


def test_what_has_another_form_than_a_sound_request_is_checked_anew() -> None:
    bundle = bundle_of(a=PERMIT_ALL)
    sound = request_for(context={"completed": ["desk.read"]})
    assert decide(bundle, sound).decision.kind == "allow"
    for name, value in sound.context.items():
        without = {key: part for key, part in sound.context.items() if key != name}
        others: list[JsonValue] = [7 if isinstance(value, str) else "seven", [[1]], {"odd": True}]
        for context in (without, *({**without, name: other} for other in others)):
            decision = decide(bundle, sound.model_copy(update={"context": context})).decision
            assert isinstance(decision, Denied), (name, context.get(name))
            assert decision.errors, (name, context.get(name))


def test_a_form_is_names_types_and_types_of_entities() -> None:
    run: JsonObject = {"__entity": {"type": "Run", "id": "acme/run-1"}}
    forms: list[JsonValue] = [
        1, True, "1", [], ["a"], [1], ["a", 1], {}, {"a": 1}, {"b": 1}, {"a": "1"}, {"a": {"a": 1}}, None, run,
        {"__entity": {"type": "User", "id": "acme/run-1"}}, {"__extn": {"fn": "decimal", "arg": "1.0"}},
    ]  # fmt: skip
    assert len({form_of(value) for value in forms}) == len(forms)
    assert form_of({"a": ["x", "y"], "run": run}) == form_of(
        {"a": ["z"], "run": {"__entity": {"type": "Run", "id": "acme/run-2"}}}
    )


def test_a_grant_cannot_be_smuggled_in_by_the_context() -> None:
    bundle = bundle_of(a=PERMIT_ALL, b=forbid("desk-asks", "context.approvers >= 2"))
    smuggled = request_for(context={"granted": ["one-lead", "one-finance", "two-finance"], "approvers": 5})
    assert decide(bundle, smuggled).decision.kind == "needs_approval"


@pytest.mark.parametrize(
    "identity", ['a"b', "a\\b", 'x"::Agent::"acme/desk', "a\nb", "größe", "a\u202eb", "\u0000", "😀"]
)
def test_an_identity_of_any_characters_stays_one_identity(identity: str) -> None:
    request = request_for()
    entity = {"uid": {"type": "Thing", "id": identity}, "attrs": {"tenant": "acme", "key": identity}, "parents": NONE}
    changed = request.model_copy(
        update={"resource": entity_name("Thing", identity), "entities": (request.entities[0], entity)}
    )
    same = forbid("desk-same", 'resource.tenant == "acme"')
    assert decide(bundle_of(a=PERMIT_ALL, b=same), changed).decision.kind == "allow"


class Broken:
    """An engine that cannot decide."""

    def evaluate(
        self,
        request: AuthorizationRequest,
        granted: Sequence[str],
        approvers: int,
        checked: Sequence[str] = (),
        kind: GrantKind = "people",
    ) -> Evaluation:
        del request, granted, approvers, checked, kind
        return Evaluation(allowed=True, policies=("desk-everything",), errors=("something is wrong",))


def test_any_engines_error_is_a_denial_even_where_it_says_allowed() -> None:
    bundle = Bundle(digest="sha256:" + "0" * 64, engine=Broken(), ladder=LADDER, texts={})
    assert decide(bundle, request_for()).decision.kind == "deny"


def test_without_a_ladder_what_is_not_allowed_is_denied() -> None:
    bundle = bundle_of(Ladder(rungs=()), a=PERMIT_ALL, b=forbid("desk-asks", "context.approvers >= 1"))
    assert decide(bundle, request_for()).decision.kind == "deny"
