"""On behalf of a user only what both may do is done; a tenant's overlay narrows it further and never widens it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.decision import Allowed, Denied, NeedsApproval
from policy.bundle import BundleError, build_bundle, overlay_findings
from policy.decide import decide
from policy.schema import cedar_schema
from tests.policy.desk import LADDER, PERMIT_ALL, READ, USERS_PERMIT, WRITE, bundle_of, request_for

SCHEMA = cedar_schema([READ, WRITE])
ASKS = """
@id("desk-asks") @reason("A lead agrees.")
forbid (principal is User, action, resource) when { context.approvers < 1 };
"""
CALLS_3 = '@id("acme-calls") @reason("At most 3.") forbid (principal, action, resource) when { context.calls >= 3 };'
ASKS_FINANCE = """
@id("acme-asks") @reason("Finance agrees.")
forbid (principal, action, resource) unless { context.granted.contains("one-finance") };
"""


@pytest.mark.req("I2", "P4")
@pytest.mark.parametrize("agent_may", [True, False])
@pytest.mark.parametrize("user_may", [True, False])
def test_what_both_may_do_is_allowed_and_the_record_shows_both(agent_may: bool, user_may: bool) -> None:  # noqa: FBT001 - a table's column
    policies = (PERMIT_ALL if agent_may else "") + (USERS_PERMIT if user_may else "")
    record = decide(bundle_of(a=policies), request_for(user={"groups": ["desk"]}))
    assert (record.decision.kind == "allow") == (agent_may and user_may)
    assert [(one.principal, one.allowed) for one in record.principals] == [
        ('Agent::"acme/desk"', agent_may),
        ('User::"acme/uma"', user_may),
    ]
    if isinstance(record.decision, Allowed):
        assert [reason.policy for reason in record.decision.reasons] == ["desk-everything", "desk-users"]


@pytest.mark.req("I2")
def test_an_agent_on_its_own_is_decided_alone() -> None:
    record = decide(bundle_of(a=PERMIT_ALL), request_for())
    assert record.principals == ()
    assert "principals" not in record.model_dump_json()


@pytest.mark.req("I2", "P4")
def test_what_only_the_user_needs_an_approval_for_is_asked() -> None:
    bundle = bundle_of(a=PERMIT_ALL, b=USERS_PERMIT, c=ASKS)
    asked = decide(bundle, request_for(user={"groups": ["desk"]}))
    assert isinstance(asked.decision, NeedsApproval)
    assert asked.decision.requirement.id == "one-lead"
    assert [reason.policy for reason in asked.decision.reasons] == ["desk-asks", "desk-everything", "desk-users"]
    granted = decide(bundle, request_for(user={"groups": ["desk"]}), granted=("one-lead",), approvers=1)
    assert granted.decision.kind == "allow"
    assert decide(bundle, request_for()).decision.kind == "allow"


@pytest.mark.req("I2", "P2")
def test_a_users_record_of_another_type_is_a_denial() -> None:
    decision = decide(bundle_of(a=PERMIT_ALL, b=USERS_PERMIT), request_for(user={"groups": "desk"})).decision
    assert isinstance(decision, Denied)
    assert decision.errors


@pytest.mark.req("I2", "P2")
def test_a_user_whose_name_is_an_agents_gets_nothing_of_the_agents() -> None:
    loose = '@id("desk-x") @reason("r") permit (principal is Agent, action, resource) when {principal.name == "desk"};'
    record = decide(bundle_of(a=loose), request_for(user={"name": "desk", "groups": []}))
    assert record.decision.kind == "deny"


@pytest.mark.req("I2", "P2")
def test_a_forbid_about_a_user_by_name_holds_whatever_agent_acts() -> None:
    named = '@id("desk-x") @reason("r") forbid (principal, action, resource) when { principal.name == "uma" };'
    bundle = bundle_of(a=PERMIT_ALL, b=USERS_PERMIT, c=named)
    decision = decide(bundle, request_for(user={"groups": ["desk"]})).decision
    assert isinstance(decision, Denied)
    assert [reason.policy for reason in decision.reasons] == ["desk-x"]


@pytest.mark.req("I5", "P1", "P7")
def test_an_overlay_narrows_its_tenant_alone_and_stands_in_the_digest() -> None:
    plain = build_bundle({"a": PERMIT_ALL}, SCHEMA, LADDER)
    bundle = build_bundle({"a": PERMIT_ALL}, SCHEMA, LADDER, overlays={"acme": CALLS_3})
    elsewhere = build_bundle({"a": PERMIT_ALL}, SCHEMA, LADDER, overlays={"globex": CALLS_3.replace("acme", "globex")})
    assert len({plain.digest, bundle.digest, elsewhere.digest}) == 3
    fourth = request_for(context={"calls": 3})
    denied = decide(bundle, fourth).decision
    assert isinstance(denied, Denied)
    assert [(reason.policy, reason.text) for reason in denied.reasons] == [("acme-calls", "At most 3.")]
    assert decide(bundle, request_for(context={"calls": 2})).decision.kind == "allow"
    assert decide(elsewhere, fourth).decision.kind == "allow"
    assert decide(plain, fourth).decision.kind == "allow"


@pytest.mark.req("P4")
def test_an_overlay_can_ask_for_more_and_both_reasons_are_told() -> None:
    own = '@id("desk-asks") @reason("r") forbid (principal, action, resource) when { context.approvers < 1 };'
    bundle = build_bundle({"a": PERMIT_ALL, "b": own}, SCHEMA, LADDER, overlays={"acme": ASKS_FINANCE})
    decision = decide(bundle, request_for()).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.requirement.id == "one-finance"
    assert [reason.policy for reason in decision.reasons] == ["acme-asks", "desk-asks", "desk-everything"]


@pytest.mark.req("I2", "P4")
def test_an_overlay_holds_for_users_too() -> None:
    only_users = '@id("acme-users") @reason("Not for users.") forbid (principal is User, action, resource);'
    bundle = build_bundle({"a": PERMIT_ALL, "b": USERS_PERMIT}, SCHEMA, LADDER, overlays={"acme": only_users})
    assert decide(bundle, request_for()).decision.kind == "allow"
    assert decide(bundle, request_for(user={"groups": ["desk"]})).decision.kind == "deny"


@pytest.mark.req("P1", "P7")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('@id("acme-p") @reason("r") permit (principal, action, resource);', "an overlay narrows"),
        ('@id("desk-p") @reason("r") forbid (principal, action, resource);', "must begin with acme-"),
        ('@id("acme-p") forbid (principal, action, resource);', "needs a @reason"),
        ('@id("acme-p") @reason("r") forbid (principal, action, resource) when { context.nothing };', "nothing"),
        ("forbid (", "not valid Cedar"),
        ("// nothing\n", "holds no policy"),
        ("", "holds no policy"),
    ],
)
def test_each_mistake_of_an_overlay_is_found(text: str, words: str) -> None:
    findings = overlay_findings("acme", text, SCHEMA, LADDER)
    assert any(words in finding.message for finding in findings)
    assert all(finding.file == "settings/overlays/acme.cedar" for finding in findings)
    with pytest.raises(BundleError):
        build_bundle({"a": PERMIT_ALL}, SCHEMA, LADDER, overlays={"acme": text})


CONDITIONS = st.sampled_from(
    ["context.calls > 2", "context.tainted", 'context.stage == "drafts"', "context.approvers < 1", "context.repeated"]
)


@pytest.mark.req("P1", "I2")
@settings(max_examples=40, deadline=None)
@given(CONDITIONS, CONDITIONS, st.integers(0, 1), st.integers(0, 4), st.integers(0, 1), st.integers(0, 2))
def test_neither_a_user_nor_an_overlay_ever_widens(
    own: str,
    theirs: str,
    acting: int,
    calls: int,
    repeated: int,
    held: int,
) -> None:
    base = f'@id("desk-f") @reason("r") forbid (principal, action, resource) when {{ {own} }};'
    overlay = f'@id("acme-f") @reason("r") forbid (principal, action, resource) when {{ {theirs} }};'
    files = {"a": PERMIT_ALL, "b": base, "c": USERS_PERMIT}
    plain = build_bundle(files, SCHEMA, LADDER)
    narrowed = build_bundle(files, SCHEMA, LADDER, overlays={"acme": overlay})
    context = {"calls": calls, "repeated": bool(repeated)}
    granted = {0: (), 1: ("one-finance",), 2: ("one-finance", "two-finance")}[held]
    alone = decide(plain, request_for(context=context), granted=granted, approvers=held).decision.kind
    user = {"groups": ["desk"] if acting else []}
    other = decide(narrowed, request_for(context=context, user=user), granted=granted, approvers=held).decision.kind
    order = ["allow", "needs_approval", "deny"]
    assert order.index(other) >= order.index(alone)
