"""The scripted provider: labelled, and led by the content of the conversation."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from activities.models.conversation import Conversation, event_of
from activities.models.errors import ModelRejected, ModelUnavailable
from activities.models.script import Script, ScriptError, load_script
from activities.models.scripted import ScriptedProvider
from contracts.model import (
    AssistantMessage,
    Message,
    ModelChoice,
    ModelReply,
    ModelRequest,
    Provider,
    StopReason,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from tests.activities.models.conftest import TOOLS, no_heartbeat, said

pytestmark = pytest.mark.req("B4")

SCRIPT = r"""
about: refunds what is owed
rules:
  - name: read the ticket
    when: {not_called: crm.read_ticket}
    say:
      text: Ticket {event.ticket_id} first.
      calls:
        - {tool: crm.read_ticket, why: The event names it., arguments: {ticket_id: "{event.ticket_id}"}}
  - name: look up order and customer
    when:
      not_called: orders.get_status
      where: {crm.read_ticket.text: {regex: "order (?P<order_id>ORD-\\d+)"}}
    say:
      calls:
        - {tool: orders.get_status, why: "Order {order_id} is claimed.", arguments: {order_id: "{order_id}"}}
        - {tool: crm.read_customer, why: Who asks., arguments: {customer_id: "{crm.read_ticket.customer_id}"}}
  - name: refused
    when: {denied: payments.issue_refund}
    finish: {result: hand_over, summary: Policy denied the refund., needed: Decide on the refund.}
  - name: refund
    when:
      not_called: payments.issue_refund
      where:
        orders.get_status.status: {in: [paid, shipped]}
        orders.get_status.refundable_minor: {gt: 0, lte: 5000}
    say:
      calls:
        - tool: payments.issue_refund
          why: It is owed.
          arguments:
            order_id: "{orders.get_status.order_id}"
            amount_minor: "{orders.get_status.refundable_minor}"
            items: ["{orders.get_status.items.0.sku}"]
            note: "{{literal}} {orders.get_status.refundable_minor} cents"
  - name: too much
    when: {not_called: payments.issue_refund, where: {orders.get_status.refundable_minor: {gt: 5000}}}
    finish: {result: hand_over, summary: "Too much: {orders.get_status.refundable_minor}.", needed: Decide.}
  - name: done
    when: {succeeded: payments.issue_refund}
    finish: {result: done, summary: "Refunded {payments.issue_refund.amount_minor}."}
"""

EVENT = UserMessage(text='Handle this event:\n{"event": {"ticket_id": "TIC-1"}}\nThank you.')


def fixture(folder: Path, text: str = SCRIPT) -> ScriptedProvider:
    path = folder / "script.yaml"
    path.write_text(text, "utf-8")
    return ScriptedProvider(path)


async def ask(provider: ScriptedProvider, *messages: Message, timeout_s: float = 10) -> ModelReply:
    choice = ModelChoice(name="small", provider=Provider.SCRIPTED, model="scripted", timeout_s=timeout_s)
    transcript = (SystemMessage(text="Prompt."), *messages)
    return await provider.complete(ModelRequest(choice=choice, messages=transcript, tools=TOOLS), no_heartbeat)


def result(tool: str, output: object, *, error: bool = False) -> tuple[AssistantMessage, ToolMessage]:
    text = output if isinstance(output, str) else json.dumps(output)
    return said((tool, tool, "{}")), ToolMessage(call_id=tool, tool=tool, text=text, is_error=error)


def proposals(reply: ModelReply) -> list[tuple[str, dict[str, object]]]:
    return [(call.tool, json.loads(call.arguments_json)) for call in reply.calls]


TICKET = result("crm.read_ticket", {"text": "My order ORD-77 is broken", "customer_id": "CUS-1"})


def order(refundable_minor: int) -> Sequence[Message]:
    output = {"order_id": "ORD-77", "status": "paid", "refundable_minor": refundable_minor, "items": [{"sku": "MUG"}]}
    return result("orders.get_status", output)


async def test_it_says_what_it_is(tmp_path: Path) -> None:
    reply = await ask(fixture(tmp_path), EVENT)
    assert reply.served_model == "scripted:script.yaml"
    assert reply.usage.total_tokens > 0
    assert reply.text == "Ticket TIC-1 first."
    assert proposals(reply) == [("crm.read_ticket", {"ticket_id": "TIC-1", "why": "The event names it."})]


async def test_captured_groups_and_results_fill_parallel_calls(tmp_path: Path) -> None:
    reply = await ask(fixture(tmp_path), EVENT, *TICKET)
    assert proposals(reply) == [
        ("orders.get_status", {"order_id": "ORD-77", "why": "Order ORD-77 is claimed."}),
        ("crm.read_customer", {"customer_id": "CUS-1", "why": "Who asks."}),
    ]
    assert len({call.call_id for call in reply.calls}) == 2


async def test_a_changed_tool_result_changes_the_proposal(tmp_path: Path) -> None:
    provider = fixture(tmp_path)
    small = await ask(provider, EVENT, *TICKET, *order(2490))
    assert proposals(small) == [
        (
            "payments.issue_refund",
            {
                "order_id": "ORD-77",
                "amount_minor": 2490,
                "items": ["MUG"],
                "note": "{literal} 2490 cents",
                "why": "It is owed.",
            },
        )
    ]
    large = await ask(provider, EVENT, *TICKET, *order(124_900))
    assert proposals(large) == [
        ("finish", {"result": "hand_over", "summary": "Too much: 124900.", "needed": "Decide."})
    ]


async def test_the_same_conversation_gets_the_same_answer_whenever_it_is_asked(tmp_path: Path) -> None:
    provider = fixture(tmp_path)
    first = await ask(provider, EVENT, *TICKET)
    await ask(provider, EVENT)
    assert await ask(provider, EVENT, *TICKET) == first


async def test_a_denial_leads_elsewhere_than_a_success(tmp_path: Path) -> None:
    provider = fixture(tmp_path)
    before = (EVENT, *TICKET, *order(2490))
    denied = await ask(provider, *before, *result("payments.issue_refund", "Denied by policy: cap.", error=True))
    assert proposals(denied)[0][1]["result"] == "hand_over"
    paid = await ask(provider, *before, *result("payments.issue_refund", {"amount_minor": 2490}))
    assert proposals(paid) == [("finish", {"result": "done", "summary": "Refunded 2490.", "needed": ""})]


async def test_no_rule_is_an_error_that_names_fixture_and_last_message(tmp_path: Path) -> None:
    failed = result("payments.issue_refund", "The service is closed.", error=True)
    with pytest.raises(ModelRejected, match=r"script\.yaml.*tool payments\.issue_refund \(an error\).*is closed"):
        await ask(fixture(tmp_path), EVENT, *TICKET, *order(2490), *failed)


async def test_a_template_without_value_names_rule_and_reference(tmp_path: Path) -> None:
    provider = fixture(tmp_path, "rules: [{name: greet, say: {text: 'Hello {event.name}'}}]")
    with pytest.raises(ModelRejected, match=r"'greet'.*\{event\.name\}"):
        await ask(provider, EVENT)


async def test_raw_answers_are_given_as_written(tmp_path: Path) -> None:
    text = """
    rules:
      - name: broken
        raw: {calls: [{tool: no.such_tool, arguments_json: '{"a": '}, {tool: finish}, {tool: finish}], stop: max_tokens}
    """
    reply = await ask(fixture(tmp_path, text), EVENT)
    assert [(call.tool, call.arguments_json) for call in reply.calls] == [
        ("no.such_tool", '{"a": '),
        ("finish", "{}"),
        ("finish", "{}"),
    ]
    assert reply.stop is StopReason.MAX_TOKENS


async def test_an_enormous_and_an_empty_answer_can_be_had(tmp_path: Path) -> None:
    enormous = await ask(fixture(tmp_path, "rules: [{name: big, raw: {text: abcdefghij, repeat: 100000}}]"), EVENT)
    assert len(enormous.text) == 1_000_000
    assert enormous.usage.output_tokens == 250_000
    empty = await ask(fixture(tmp_path, "rules: [{name: nothing, raw: {stop: end_turn}}]"), EVENT)
    assert (empty.text, empty.calls) == ("", ())


async def test_faults_can_be_had(tmp_path: Path) -> None:
    down = fixture(
        tmp_path, "rules: [{name: down, fault: {kind: unavailable, retry_after_s: 3, possibly_charged: false}}]"
    )
    with pytest.raises(ModelUnavailable) as caught:
        await ask(down, EVENT)
    assert (caught.value.retry_after_s, caught.value.possibly_charged) == (3, False)
    with pytest.raises(ModelRejected):
        await ask(fixture(tmp_path, "rules: [{name: no, fault: rejected}]"), EVENT)


async def test_latency_counts_against_the_timeout(tmp_path: Path) -> None:
    slow = fixture(tmp_path, "rules: [{name: slow, latency_s: 30, say: {text: late}}]")
    with pytest.raises(ModelUnavailable, match=r"within 0\.05 s"):
        await ask(slow, EVENT, timeout_s=0.05)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rules: []", "rules"),
        ("rules: [{name: a}]", "exactly one of say, finish, raw, fault"),
        ("rules: [{name: a, say: {}, finish: {result: done, summary: s}}]", "exactly one of"),
        ("rules: [{name: a, say: {}, when: {wher: {}}}]", r"rules\.0\.when\.wher"),
        ("rules: [{name: a, say: {}, when: {where: {event.x: {regex: '('}}}}]", "not a regular expression"),
        ("rules: [", "not YAML"),
    ],
)
def test_a_wrong_fixture_says_where(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ScriptError, match=place):
        load_script(fixture(tmp_path, text).fixture)


async def test_a_missing_fixture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match=r"nowhere\.yaml: No such file"):
        await ask(ScriptedProvider(tmp_path / "nowhere.yaml"), EVENT)


def test_conditions_read_events_last_messages_and_absence() -> None:
    rules = Script.model_validate(
        yaml.safe_load("""
        rules:
          - name: all
            say: {}
            when:
              where:
                event.kind: refund
                event.flag: true
                event.count: {gte: 1, lt: 3, not: 2}
                event.missing: {absent: true}
                event.subject: {contains: PLEASE}
                event.tags.1: b
                last.role: user
                user.text: {regex: hurry}
        """)
    )
    event = {"kind": "refund", "flag": True, "count": 1, "subject": "Please help", "tags": ["a", "b"]}
    messages = [UserMessage(text=json.dumps({"event": event})), UserMessage(text="hurry up")]
    assert matches(rules, messages)
    for change in ({"kind": "other"}, {"flag": 1}, {"count": 2}, {"count": "1"}, {"missing": None}, {"tags": ["b"]}):
        changed = UserMessage(text=json.dumps({"event": {**event, **change}}))
        assert not matches(rules, [changed, messages[1]]), change


def matches(rules: Script, messages: list[UserMessage]) -> bool:
    return rules.rules[0].when.match(Conversation.of(messages)) is not None


def test_the_event_is_found_among_other_braces() -> None:
    assert event_of('See {this} {"x": 1} then {"event": {"a": {"b": 2}}}') == {"a": {"b": 2}}
    assert event_of('Only {"a": 1}') == {"a": 1}
    assert event_of("nothing") == {}
    assert event_of("{" * 100_000) == {}


@given(st.text(max_size=200))
def test_any_text_can_hold_the_event(text: str) -> None:
    assert isinstance(event_of(text), dict)
