"""Output rules: which rule decides, whose data may go, what is replaced, and what policy hears."""

from typing import Any

import pytest

from contracts.base import JsonObject
from contracts.outgoing import Outgoing, OutputRule, OutputRules
from contracts.tool import Effect, Label, Tier
from policy.outgoing import FINISH, OutgoingPolicy, OwnRecords, Surface, findings
from policy.sensitive import MAX_CHARACTERS, Detectors

pytestmark = pytest.mark.req("P6")

MINE, THEIRS = "DE89370400440532013000", "ES9121000418450200051332"
CARD = "4111 1111 1111 1111"
KEY = "ghp_" + "a1B2" * 9
REPLY = Surface(
    tool="mail.reply", effect=Effect.WRITE, tier=Tier.LOW_IMPACT, service="mail", customer_visible=True
)  # fmt: skip
ALL = ["secret", "payment_card", "iban", "national_id", "phone", "email", "filtered"]


def policy_of(*rules: dict[str, Any]) -> OutgoingPolicy:
    file = OutputRules.model_validate({"rules": rules, "phone_regions": ["DE"], "filtered": ["project bluebird"]})
    return OutgoingPolicy(file, Detectors(file))


def records() -> OwnRecords:
    own = OwnRecords()
    labels = {"crm.read_ticket": {"text": Label.UNTRUSTED}, "crm.list": {}}
    own.read(
        [
            {
                "role": "tool",
                "tool": "crm.read_ticket",
                "text": f'{{"ticket_id":"T-1","account":"{MINE}","text":"{THEIRS}","who":{{"mail":"a@example.org"}}}}',
            },
            {"role": "tool", "tool": "crm.list", "text": f'{{"tickets":[{{"ticket_id":"T-1","account":"{THEIRS}"}}]}}'},
            {"role": "tool", "tool": "gone.tool", "text": f'{{"ticket_id":"T-1","account":"{THEIRS}"}}'},
            {
                "role": "tool",
                "tool": "crm.read_ticket",
                "is_error": True,
                "text": f'{{"ticket_id":"T-1","b":"{THEIRS}"}}',
            },
        ],
        labels,
    )
    return own


def judged(
    policy: OutgoingPolicy, arguments: JsonObject, *agent: OutputRule, surface: Surface = REPLY, resource: str = "T-1"
) -> Outgoing:
    return policy.judge(arguments, surface, agent, records(), resource)


def replaced(policy: OutgoingPolicy, arguments: JsonObject, *, surface: Surface = REPLY) -> JsonObject:
    found = findings(arguments, policy.detectors)
    return policy.redact(arguments, found, surface, (), records(), "T-1", call=0)[0]


@pytest.mark.parametrize(
    ("action", "told"), [("allow", "none"), ("ask", "ask"), ("block", "block"), ("redact", "block")]
)
def test_policy_hears_the_action_and_what_should_have_been_replaced_is_blocked(action: str, told: str) -> None:
    found = judged(policy_of({"classes": ["iban"], "action": action}), {"text": f"to {THEIRS} please"})
    assert (found.action, found.classes) == (told, () if told == "none" else ("iban",))


def test_without_a_rule_it_may_go() -> None:
    assert judged(policy_of(), {"text": f"{CARD} {KEY}"}) == Outgoing()


def test_the_first_rule_that_matches_decides_and_final_ones_come_before_the_agents() -> None:
    agent = OutputRule.model_validate({"classes": ALL, "action": "allow"})
    usual = {"classes": ["iban"], "action": "block"}
    text: JsonObject = {"text": f"to {THEIRS} please"}
    assert judged(policy_of({"classes": ["iban"], "action": "ask"}, usual), text).action == "ask"
    assert judged(policy_of(usual), text, agent).action == "none"
    assert judged(policy_of({**usual, "final": True}), text, agent).action == "block"


@pytest.mark.parametrize(
    "part",
    [
        {"effect": "read"}, {"tools": ["mail.send"]}, {"services": ["crm"]}, {"arguments": ["subject"]},
        {"min_tier": 2}, {"customer_visible": False}, {"part": "whole"}, {"classes": ["phone"]},
    ],
)  # fmt: skip
def test_each_part_of_a_rule_narrows_it(part: dict[str, Any]) -> None:
    rule = {
        "classes": ["iban"], "action": "block", "effect": "write", "tools": ["mail.reply"], "services": ["mail"],
        "arguments": ["text"], "min_tier": 1, "customer_visible": True, "part": "inside",
    }  # fmt: skip
    text: JsonObject = {"text": f"to {THEIRS} please"}
    assert judged(policy_of(rule), text).action == "block"
    assert judged(policy_of({**rule, **part}), text).action == "none"


def test_the_recipients_own_data_may_go_and_nobody_elses() -> None:
    policy = policy_of(
        {"classes": ["iban", "email"], "own_record": True, "action": "allow"},
        {"classes": ["iban", "email"], "action": "block"},
    )
    assert judged(policy, {"text": f"to your account {MINE[:4]} {MINE[4:]}, a@example.org"}).action == "none"
    assert judged(policy, {"text": f"to {THEIRS}"}).action == "block"
    assert judged(policy, {"text": f"{MINE} or {THEIRS}"}).action == "block"
    assert judged(policy, {"text": f"to {MINE}"}, resource="T-2").action == "block"
    assert judged(policy, {"text": f"to {MINE}"}, resource="").action == "block"


def test_the_strongest_finding_decides() -> None:
    policy = policy_of({"classes": ["phone"], "action": "ask"}, {"classes": ["secret"], "action": "block"})
    found = judged(policy, {"text": "+49 30 901820", "more": [{"deep": KEY}]})
    assert found == Outgoing(classes=("phone", "secret"), action="block")


def test_replaced_values_leave_the_rest_of_the_text_alone() -> None:
    policy = policy_of({"classes": ["iban", "payment_card"], "action": "redact"})
    arguments: JsonObject = {"text": f"Ü {CARD}, then {THEIRS}.", "lines": [{"note": THEIRS}, {"note": "ok"}], "n": 1}
    assert replaced(policy, arguments) == {
        "text": "Ü [payment card removed by output rules], then [iban removed by output rules].",
        "lines": [{"note": "[iban removed by output rules]"}, {"note": "ok"}],
        "n": 1,
    }
    assert judged(policy, replaced(policy, arguments)).action == "none"


def test_a_number_that_cannot_be_replaced_is_blocked() -> None:
    policy = policy_of({"classes": ["payment_card"], "action": "redact"})
    arguments: JsonObject = {"reference": 4111111111111111}
    assert replaced(policy, arguments) == arguments
    assert judged(policy, arguments).action == "block"


@pytest.mark.parametrize("action", ["redact", "ask", "block"])
def test_a_finish_has_replaced_what_any_rule_holds_against_it(action: str) -> None:
    policy = policy_of({"classes": ["iban"], "tools": [FINISH], "action": action})
    finish = Surface(tool=FINISH, effect=Effect.WRITE, tier=Tier.READ_ONLY, service="", customer_visible=False)
    told = replaced(policy, {"summary": f"paid {THEIRS}"}, surface=finish)
    assert told == {"summary": "paid [iban removed by output rules]"}
    assert replaced(policy, {"summary": f"paid {THEIRS}"}) == {"summary": f"paid {THEIRS}"}


def test_what_is_too_long_to_be_searched_is_blocked() -> None:
    found = judged(policy_of(), {"text": "a" * (MAX_CHARACTERS + 1)})
    assert found == Outgoing(classes=("unsearched",), action="block")
