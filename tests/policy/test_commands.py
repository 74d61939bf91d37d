"""Operators' commands: who may give which, what a signature is worth, and what a run in a given state obeys."""

import base64
import json
import random

import pytest
from joserfc.jwk import OKPKey
from pydantic import TypeAdapter

from approvals.signing import VoteSigner
from contracts.command import (
    Command,
    CommandAccepted,
    CommandRefusal,
    CommandRefused,
    OperatorRole,
    Order,
    SignedCommand,
)
from contracts.vote import SignedVote, VoteRefusal
from policy.commands import COMMAND_LIFETIME_S, COMMAND_SIGN_IN_S, ROLES_FOR, RunSituation, judge_command, read_command
from policy.votes import read_vote
from store.accounts import ROLES

NOW = 1_800_000_000
RUN = "run-" + "a" * 26
SIGNER = VoteSigner(OKPKey.generate_key("Ed25519"))
ORDERS: tuple[dict[str, object], ...] = (
    {"kind": "pause"}, {"kind": "resume"}, {"kind": "end"}, {"kind": "hand_over"},
    {"kind": "resolve_unknown", "step": 1, "call": 0},
)  # fmt: skip
PAUSED = RunSituation(paused_by_operator=True, pause=2, halted=False, ending=False, in_doubt=())
HALTED = RunSituation(paused_by_operator=False, pause=2, halted=True, ending=False, in_doubt=((1, 0),))
AT_WORK = RunSituation(paused_by_operator=False, pause=None, halted=False, ending=False, in_doubt=((1, 0),))
ENDING = RunSituation(paused_by_operator=False, pause=None, halted=False, ending=True, in_doubt=((1, 0),))


def command(order: dict[str, object], **changes: object) -> Command:
    return Command.model_validate(
        {
            "tenant": "acme", "run_id": RUN, "command_id": "cmd-" + "b" * 26, "order": order, "reason": "looks wrong",
            "issuer": "local", "subject": "otto", "person": "otto", "display_name": "Otto",
            "roles": ("kill", "undo"), "authenticated_at": NOW - 60, "strength": "password", "issued_at": NOW,
            "expires_at": NOW + 600, **changes,
        }
    )  # fmt: skip


def judged(given: Command, situation: RunSituation = AT_WORK, now_s: float = NOW + 1) -> CommandRefusal | None:
    answer = judge_command(given, run_id=RUN, tenant="acme", situation=situation, now_s=now_s)
    assert isinstance(answer, CommandAccepted | CommandRefused)
    return answer.refusal if isinstance(answer, CommandRefused) else None


@pytest.mark.req("I9")
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: str(order["kind"]))
@pytest.mark.parametrize("role", ROLES)
def test_an_order_needs_its_role(order: dict[str, object], role: OperatorRole) -> None:
    situation = PAUSED if order["kind"] == "resume" else AT_WORK
    expected = None if role in ROLES_FOR[str(order["kind"])] else CommandRefusal.NOT_ALLOWED
    assert judged(command(order, roles=(role,)), situation) == expected


@pytest.mark.req("H8")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"tenant": "globex"}, CommandRefusal.WRONG_RUN),
        ({"run_id": "run-" + "c" * 26}, CommandRefusal.WRONG_RUN),
        ({"expires_at": NOW}, CommandRefusal.EXPIRED),
        ({"expires_at": NOW + COMMAND_LIFETIME_S + 1}, CommandRefusal.MALFORMED),
        ({"issued_at": NOW + 3_000, "expires_at": NOW + 3_100}, CommandRefusal.MALFORMED),
        ({"authenticated_at": NOW + 100}, CommandRefusal.MALFORMED),
        ({"authenticated_at": NOW - COMMAND_SIGN_IN_S - 1}, CommandRefusal.STALE_SIGN_IN),
        ({"reason": " a "}, CommandRefusal.REASON_MISSING),
        ({"strength": "service"}, CommandRefusal.NOT_ALLOWED),
        ({"issuer": "countersign"}, CommandRefusal.NOT_ALLOWED),
        ({"issuer": "countersign", "strength": "service"}, CommandRefusal.NOT_ALLOWED),
    ],
)
def test_what_is_late_stale_elsewhere_or_not_a_persons_is_refused(
    changes: dict[str, object], expected: CommandRefusal | None
) -> None:
    assert judged(command({"kind": "end"}, **changes)) == expected


SERVICE = {"issuer": "countersign", "strength": "service", "roles": ("kill",)}


@pytest.mark.req("H8")
@pytest.mark.parametrize(
    ("order", "more", "situation", "expected"),
    [
        ({"kind": "pause"}, {}, PAUSED, CommandRefusal.ALREADY_PAUSED),
        ({"kind": "pause"}, {}, HALTED, None),
        ({"kind": "resume"}, {}, AT_WORK, CommandRefusal.NOT_PAUSED),
        ({"kind": "resume"}, {}, HALTED, None),
        ({"kind": "resume", "because": "released", "pause": 2}, SERVICE, HALTED, None),
        ({"kind": "resume", "because": "released", "pause": 1}, SERVICE, HALTED, CommandRefusal.NOT_PAUSED),
        ({"kind": "resume", "because": "released", "pause": 2}, SERVICE, PAUSED, CommandRefusal.NOT_PAUSED),
        ({"kind": "resume", "because": "released", "pause": 2}, {}, HALTED, CommandRefusal.NOT_ALLOWED),
        ({"kind": "resolve_unknown", "step": 1, "call": 0}, {}, PAUSED, CommandRefusal.NOT_IN_DOUBT),
        ({"kind": "end"}, {}, ENDING, CommandRefusal.ENDING),
    ],
)
def test_a_run_obeys_what_makes_sense_in_its_state(
    order: dict[str, object], more: dict[str, object], situation: RunSituation, expected: CommandRefusal | None
) -> None:
    assert judged(command(order, **more), situation) == expected


@pytest.mark.req("A1")
def test_no_mangled_foreign_or_unsigned_command_is_read() -> None:
    keys = SIGNER.public_keys
    genuine = SIGNER.sign_command(command({"kind": "end"}))
    assert read_command(genuine, keys) == command({"kind": "end"})
    stranger = VoteSigner(OKPKey.generate_key("Ed25519")).sign_command(command({"kind": "end"}))
    assert read_command(stranger, keys) is CommandRefusal.UNKNOWN_KEY
    # A command is no vote, whatever the key; and its payload is read in one spelling alone.
    assert read_vote(SignedVote(jws=genuine.jws), keys) is VoteRefusal.MALFORMED
    head, body, tail = genuine.jws.split(".")
    chance = random.Random(7)
    for _ in range(300):
        place = chance.randrange(len(body))
        other = chance.choice([letter for letter in "ABCabc012" if letter != body[place]])
        mangled = SignedCommand(jws=f"{head}.{body[:place]}{other}{body[place + 1 :]}.{tail}")
        assert read_command(mangled, keys) in (CommandRefusal.BAD_SIGNATURE, CommandRefusal.MALFORMED)
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": SIGNER.kid}).encode()).decode().rstrip("=")
    for noise in ("", "a.b.c", f"{none}.{body}.", f"{none}.{body}.AAAA", genuine.jws + "=", "." * 300):
        assert isinstance(read_command(SignedCommand(jws=noise), keys), CommandRefusal)


def test_every_order_has_its_roles() -> None:
    schema = TypeAdapter[object](Order).json_schema()
    assert set(schema["discriminator"]["mapping"]) == set(ROLES_FOR) == {str(order["kind"]) for order in ORDERS}
