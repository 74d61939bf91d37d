"""A store in which every text that a model, a tool, an outsider or another person could have written is an attack."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.canonical import canonical_bytes, digest
from contracts.decision import Reason
from contracts.standing import AnyValue, Equals, OneOf, StandingTerms
from contracts.undo import UndoItem, UndoPlan
from tests.approvals.attacks.hostile import PAYLOAD
from tests.approvals.scene import ONE_LEAD, SOME_DIGEST, TENANT

__all__ = ["DOUBT", "HANDED_OVER", "HELD", "NAME", "SCOPE_ID", "fill"]

P = PAYLOAD[:1_900]
NAME = PAYLOAD[:110] + PAYLOAD[-40:]
"""As long as a person's name may be."""
HELD, HANDED_OVER, UNDOING = ("run-" + letter * 26 for letter in "hou")
DOUBT = f"{HELD}/2/0"
SCOPE_ID = "sta-" + "s" * 26


def fill(owner_url: str, decoy_request: str) -> None:
    """Write the rows of such a store, as its owner: no function of ours had a chance to refuse them."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for table, values in _rows(decoy_request):
            names = sql.SQL(", ").join(sql.Identifier(name) for name in ("tenant", *values))
            statement = sql.SQL("insert into {} ({}) values ({}) on conflict do nothing").format(
                sql.Identifier(table), names, sql.SQL(", ").join([sql.Placeholder()] * (len(values) + 1))
            )
            owner.execute(statement, (TENANT, *values.values()))
        owner.execute("update accounts set display_name = %s where tenant = %s", (NAME, TENANT))
        owner.execute(
            "update approval_requests set state = 'voided', closed_at = now(), ended_at = now() where request_id = %s",
            (decoy_request,),
        )


def _rows(decoy_request: str) -> list[tuple[str, Mapping[str, object]]]:
    return [*_runs(), *_deeds(), *_people(), *_stops(), _decoy(decoy_request), _standing()]


def _runs() -> list[tuple[str, Mapping[str, object]]]:
    packet: JsonObject = {
        "goal": P, "why": P, "needed": P, "steps": [P], "blocked_by": [P],
        "effects": [{"step": 2, "call": 0, "tool": P, "state": "succeeded", "amount_minor": None, "currency": None}],
    }  # fmt: skip
    report: JsonObject = {
        "run_id": HANDED_OVER, "outcome": "escalated", "reason": "handed_over", "totals": {},
        "content": {"summary": P, "packet": packet},
    }  # fmt: skip
    run = {"agent": P, "agent_version": 3, "definition": "", "goal": P, "on_behalf_of": P, "detail": P}
    over = {"closed_at": datetime.now(UTC), "outcome": "escalated", "reason": "handed_over", "report": _json(report)}
    said = [
        {"role": "user", "text": P},
        {"role": "assistant", "text": P, "calls": [{"tool": P, "arguments_json": P}]},
        {"role": "tool", "tool": P, "text": P, "is_error": True},
    ]
    plan = UndoPlan(
        tenant=TENANT, of_run=HANDED_OVER, of_step=None, agent="support_refund",
        items=(UndoItem(step=2, call=0, tool="payments.issue_refund", state=EffectState.SUCCEEDED, arguments={"a": P},
                        verdict="cannot", why=P),),
    )  # fmt: skip
    looked = {"reader": P, "person": P, "via": "page", "what": "run"}
    return [
        ("runs", {"run_id": HELD, "root_run_id": HELD, **run}),
        ("runs", {"run_id": HANDED_OVER, "root_run_id": HANDED_OVER, **run, **over}),
        ("run_state", {"run_id": HELD, "audit_head": b""}),
        ("run_state", {"run_id": HANDED_OVER, "audit_head": b""}),
        *(
            ("messages", {"run_id": HELD, "seq": seq, "step": 1, "call": 0, "tokens": 9, "content": _json(one)})
            for seq, one in enumerate(said)
        ),
        ("run_reads", {"run_id": HELD, **looked}),
        ("run_reads", {"run_id": HANDED_OVER, **looked}),
        ("packet_ratings", {"run_id": HANDED_OVER, "person": P, "useful": "no", "minutes_saved": 1, "note": P}),
        (
            "undo_orders",
            {"run_id": UNDOING, "of_run": HANDED_OVER, "agent": P, "username": P, "person": P, "reason": P,
             "plan": plan.model_dump_json(), "plan_digest": SOME_DIGEST},
        ),
    ]  # fmt: skip


def _deeds() -> list[tuple[str, Mapping[str, object]]]:
    write = {
        "tool": P, "tool_version": 1, "service": P, "arguments_digest": SOME_DIGEST, "natural_key": P, "error": P,
        "arguments": _json({P: P, "list": [P, {P: P}]}), "output": _json({P: [P]}), "amount_minor": 100,
        "currency": "EUR", "attempts": 1, "probes": 1, "probe_said": P, "resolved_by": P, "request_id": P,
        "probed_at": datetime.now(UTC), "doubted_at": datetime.now(UTC),
    }  # fmt: skip
    drawn = {
        "agent": P, "agent_version": 3, "tool": P, "tier": 2, "because": "first", "share": 1.0,
        "due_at": datetime.now(UTC),
    }  # fmt: skip
    said = {"label": "wrong", "note": P, "expected": P, "person": P, "labelled_at": datetime.now(UTC)}
    return [
        ("effects", {"run_id": HELD, "step": 2, "call": 0, "state": "unknown", **write}),
        ("effects", {"run_id": HANDED_OVER, "step": 2, "call": 0, "state": "succeeded", **write}),
        ("effects", {"run_id": HANDED_OVER, "step": 3, "call": 0, "state": "succeeded", **write}),
        ("effect_reviews", {"run_id": HANDED_OVER, "step": 2, "call": 0, **drawn}),
        ("effect_reviews", {"run_id": HANDED_OVER, "step": 3, "call": 0, **drawn, **said}),
    ]


def _people() -> list[tuple[str, Mapping[str, object]]]:
    now = datetime.now(UTC)
    times = {"from_at": now - timedelta(days=1), "until_at": now + timedelta(days=1)}
    return [
        (
            "delegations",
            {"delegation_id": "dlg-" + "d" * 26, "approver": "fred", "delegate": "fiona", "reason": P, "created_by": P,
             **times},
        ),
        (
            "emergencies",
            {"emergency_id": "emg-" + "e" * 26, "scope": P, "agent": P, "tools": [P], "lifts": [P], "approvers": P,
             "minutes": 9, "reason": P, "state": "open", "requested_by": P, "approved_by": [P], "opened_at": now,
             "expires_at": now + timedelta(hours=1)},
        ),
        (
            "emergencies",
            {"emergency_id": "emg-" + "f" * 26, "scope": P + "2", "agent": P, "tools": [P], "lifts": [P],
             "approvers": P, "minutes": 9, "reason": P, "state": "reviewed", "requested_by": P, "approved_by": [P],
             "opened_at": now, "expires_at": now, "ended_at": now, "ended_by": P, "reviewed_by": P,
             "reviewed_at": now, "review": P},
        ),
        (
            "sessions",
            {"token_hash": b"1", "username": "root", "csrf_hash": b"1", "expires_at": now + timedelta(hours=1),
             "front_end": NAME, "address": NAME, "scopes": ["view"]},
        ),
        (
            "sessions",
            {"token_hash": b"2", "username": "root", "csrf_hash": b"1", "expires_at": now + timedelta(hours=1),
             "address": NAME, "browser": NAME},
        ),
        (
            "passkeys",
            {"passkey_id": "psk-" + "p" * 26, "username": "root", "name": NAME[:60], "credential_id": b"1",
             "public_key": b"1", "rp_id": NAME, "aaguid": P, "synced": True, "sign_count": 0},
        ),
    ]  # fmt: skip


def _stops() -> list[tuple[str, Mapping[str, object]]]:
    now = datetime.now(UTC)
    return [
        (
            "pauses",
            {"run_id": HELD, "number": 1, "agent": P, "cause": "operator", "tool": P, "detail": P, "person": P,
             "reason": P},
        ),
        (
            "commands",
            {"run_id": HELD, "command_id": "cmd-" + "c" * 26, "kind": "pause", "person": P, "display_name": P,
             "reason": P, "jws": "", "last_error": P, "next_attempt_at": now + timedelta(days=9)},
        ),
        ("switches", {"scope": "tool", "target": P, "reason": P, "set_by": P}),
        (
            "switches",
            {"scope": "agent", "target": P, "reason": P, "set_by": P, "released_by": P, "released_at": now,
             "released_reason": P},
        ),
        ("journal", {"run_id": HELD, "step": 3, "call": 0, "visit": 1, "state": "reserved", "tool": P}),
    ]  # fmt: skip


def _decoy(request_id: str) -> tuple[str, Mapping[str, object]]:
    return (
        "decoys",
        {"request_id": request_id, "run_id": HELD, "agent": P, "tool": P, "groups": [P], "fault": P, "tell": P,
         "made_from": P, "planted_by": P, "expires_at": datetime.now(UTC), "ended_at": datetime.now(UTC),
         "result": "missed", "person": P, "verdict": "approve", "reason": P},
    )  # fmt: skip


def _standing() -> tuple[str, Mapping[str, object]]:
    now_s = int(datetime.now(UTC).timestamp())
    terms = StandingTerms(
        tenant=TENANT, standing_id=SCOPE_ID, scope=P[:63], agent="support_refund", tool="payments.issue_refund",
        tool_version=1, schema_digest=SOME_DIGEST,
        bounds=(Equals(argument="a", value=P), OneOf(argument="b", values=(P, [P], {P: P})), AnyValue(argument="c")),
        rung=ONE_LEAD, policies=(Reason(policy=P[:100], text=P),), max_tier=2, max_uses=9, money=None, reason=P,
        proposed_by=NAME, proposer=NAME, proposed_at=now_s, decide_until=now_s + 900, until=now_s + 9_000,
    )  # fmt: skip
    return (
        "standing_approvals",
        {"standing_id": SCOPE_ID, "agent": P, "tool": P, "terms": canonical_bytes(terms).decode(),
         "digest": digest(terms), "state": "revoked", "proposed_by": P, "revoked_by": P,
         "decide_until": datetime.now(UTC) + timedelta(hours=1), "until": datetime.now(UTC) + timedelta(hours=9),
         "revoked_at": datetime.now(UTC), "revoke_reason": P},
    )  # fmt: skip


def _json(value: object) -> str:
    return json.dumps(value)
