"""From a model's answer to a proposal: nothing a model can write raises, and nothing malformed gets through."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.agent_tools import AGENTS_FOLDER
from activities.bundles import load_ladder
from activities.proposal import MAX_CALLS, read_proposal, stored_answer
from activities.registry import Registry
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest
from contracts.model import AssistantMessage, ModelReply, ProposedCall, StopReason, Usage
from contracts.turn import Calls, Finish, Malformed
from tests.thorough import examples

LADDER = load_ladder(Path(__file__).parents[2] / "settings" / "ladder.yaml")
TOOLS = Registry.scan(AGENTS_FOLDER, LADDER).agents["support_refund"].tools
NAMES = [*TOOLS, "finish", "bank.wire", "", "payments.issue_refund "]


def reply(*calls: ProposedCall, text: str = "", stop: StopReason = StopReason.TOOL_CALLS) -> ModelReply:
    return ModelReply(text=text, calls=calls, stop=stop, usage=Usage(), served_model="test")


def call(tool: str, arguments: JsonObject | str) -> ProposedCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ProposedCall(call_id="c1", tool=tool, arguments_json=text)


REFUND: JsonObject = {
    "why": "It broke.",
    "order_id": "ORD-1001",
    "amount_minor": 2490,
    "currency": "EUR",
    "reason_code": "damaged_item",
    "ticket_id": "TIC-2001",
}


@pytest.mark.req("T1")
def test_a_good_call_has_canonical_arguments_and_the_models_reason() -> None:
    found = read_proposal(reply(call("payments.issue_refund", REFUND)), TOOLS)
    assert isinstance(found.control, Calls)
    arguments = found.content.calls[0].arguments
    assert "why" not in arguments
    assert found.content.calls[0].why == "It broke."
    assert found.control.calls[0].arguments_digest == digest(arguments)


@pytest.mark.req("T2")
def test_one_bad_call_spoils_the_whole_answer_and_each_call_is_told_why() -> None:
    good, bad = call("payments.issue_refund", REFUND), call("bank.wire", {})
    found = read_proposal(reply(good, bad), TOOLS)
    assert found.control == Malformed(problem="unknown_tool")
    assert len(found.corrections) == 2
    assert "Not run" in found.corrections[0].text
    assert "bank.wire" in found.corrections[1].text


@pytest.mark.req("T1")
@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": -1},
        {"amount_minor": 0},
        {"amount_minor": "2490"},
        {"amount_minor": 24.9},
        {"amount_minor": 2**53},
        {"amount_minor": True},
        {"currency": "eur"},
        {"order_id": "ORD-1001\u200b"},
        {"order_id": "../admin"},
        {"tenant": "globex"},
        {"idempotency_key": "mine"},
    ],
)
def test_arguments_outside_the_schema_are_told_and_never_repaired(changes: JsonObject) -> None:
    found = read_proposal(reply(call("payments.issue_refund", {**REFUND, **changes})), TOOLS)
    assert found.control == Malformed(problem="bad_arguments")
    assert next(iter(changes)) in found.corrections[0].text


def test_more_calls_than_are_taken_spoil_the_answer() -> None:
    found = read_proposal(reply(*(call("crm.read_ticket", {"ticket_id": "T"}) for _ in range(MAX_CALLS + 1))), TOOLS)
    assert found.control == Malformed(problem="too_large")


def test_a_finish_stands_alone() -> None:
    finish = call("finish", {"result": "done", "summary": "s", "needed": ""})
    assert isinstance(read_proposal(reply(finish), TOOLS).control, Finish)
    assert read_proposal(reply(finish, finish), TOOLS).control == Malformed(problem="two_finishes")
    mixed = reply(finish, call("crm.read_ticket", {"why": "x", "ticket_id": "T"}))
    assert read_proposal(mixed, TOOLS).control == Malformed(problem="mixed_finish")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*REFUND, "tenant", "result", "summary", "needed", "text", "status"])
ARGUMENTS = (
    st.text()
    | JSON.map(json.dumps)
    | st.dictionaries(FIELDS, JSON | st.sampled_from([*REFUND.values()]), max_size=8).map(json.dumps)
    | st.just(json.dumps(REFUND))
)
CALLS = st.builds(
    ProposedCall,
    call_id=st.text(max_size=20),
    tool=st.sampled_from(NAMES) | st.text(max_size=40),
    arguments_json=ARGUMENTS,
)
REPLIES = st.builds(
    ModelReply,
    text=st.text(max_size=200),
    calls=st.lists(CALLS, max_size=4).map(tuple),
    stop=st.sampled_from(StopReason),
    usage=st.just(Usage()),
    served_model=st.just("fuzz"),
)


@pytest.mark.req("B4", "T2")
@settings(max_examples=examples(1_500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REPLIES)
def test_no_answer_raises_and_whatever_gets_through_is_valid(answer: ModelReply) -> None:
    found = read_proposal(answer, TOOLS)
    stored = stored_answer(answer)
    assert AssistantMessage.model_validate_json(stored.model_dump_json()) == stored
    if isinstance(found.control, Calls):
        assert found.corrections == ()
        for control, content in zip(found.control.calls, found.content.calls, strict=True):
            typed = TOOLS[control.tool].args_model.model_validate(content.arguments)
            assert canonical_bytes(typed.model_dump(mode="json")) == canonical_bytes(content.arguments)
    elif isinstance(found.control, Malformed):
        assert found.corrections
        assert len(found.corrections) == max(len(stored.calls), 1)
