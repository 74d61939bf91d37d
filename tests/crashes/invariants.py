"""What must be true of a run's records whatever died while it ran."""

import hashlib
import json
from typing import Any

import psycopg
from psycopg.rows import dict_row

from contracts.call import EffectState
from contracts.outcome import Outcome, RunReport
from tests.crashes.stack import CrashStack, Run

__all__ = ["check", "check_records", "rows"]

SETTLED = {EffectState.SUCCEEDED, EffectState.FAILED_FINAL, EffectState.UNKNOWN}
Row = dict[str, Any]


def rows(owner_url: str, table: str, run_id: str, order: str) -> list[Row]:
    """A run's rows of a table, as the owner sees them."""
    with psycopg.connect(owner_url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        statement = f"select * from {table} where run_id = %s order by {order}"  # noqa: S608 - names in this file's calls
        return cursor.execute(statement.encode(), (run_id,)).fetchall()


def check(stack: CrashStack, run: Run, report: RunReport) -> None:
    """The run finished or was handed over, its records agree with the books, and nothing happened twice."""
    assert report.outcome in {Outcome.COMPLETED, Outcome.ESCALATED}, report
    effects = check_records(stack.owner_url, run.run_id)
    done = [effect for effect in effects if effect["state"] == EffectState.SUCCEEDED]
    books = stack.backoffice.books()
    refunds = [one for one in books["refunds"] if one["order_id"] == run.order_id and one["run"] != "seed"]
    drafts = [one for one in books["drafts"] if one["ticket_id"] == run.ticket_id]
    assert len(refunds) <= 1
    assert len(drafts) <= 1
    happened = {one["effect_key"] for one in books["effects"] if one["run"] == run.run_id}
    recorded = {f"{run.run_id}/{effect['step']}/{effect['call']}" for effect in done}
    doubted = {f"{run.run_id}/{one['step']}/{one['call']}" for one in effects if one["state"] == EffectState.UNKNOWN}
    assert recorded <= happened <= recorded | doubted
    if report.outcome is Outcome.COMPLETED:
        assert (len(refunds), len(drafts)) == (1, 1)
        assert report.totals.effects == len(done) == 3
    if run.kind == "large" and refunds:
        refund = next(effect for effect in effects if effect["tool"] == "payments.issue_refund")
        (request,) = rows(stack.owner_url, "approval_requests", run.run_id, "opened_at")
        assert (refund["request_id"], request["state"]) == (request["request_id"], "granted")


def check_records(owner_url: str, run_id: str) -> list[Row]:
    """What holds of every ended run in the store by itself. Returns its effects."""
    (state,) = rows(owner_url, "run_state", run_id, "run_id")
    assert state["closed"]
    assert (state["tokens_reserved"], state["micros_reserved"]) == (0, 0)
    journal = rows(owner_url, "journal", run_id, "step, call, visit")
    assert [(row["step"], row["call"]) for row in journal if row["state"] != "done"] == []
    assert not any(row["tokens_reserved"] or row["micros_reserved"] for row in journal)
    audit = rows(owner_url, "audit", run_id, "seq")
    check_chain(state, audit)
    effects = rows(owner_url, "effects", run_id, "step, call")
    assert {effect["state"] for effect in effects} <= SETTLED
    for effect in effects:
        check_decided(effect, audit)
    messages = rows(owner_url, "messages", run_id, "seq")
    assert [message["seq"] for message in messages] == list(range(1, state["message_seq"] + 1))
    answered = [(one["step"], one["call"]) for one in messages if one["call"] is not None]
    assert len(answered) == len(set(answered)), "a call was answered twice"
    return effects


def check_chain(state: Row, audit: list[Row]) -> None:
    """Every entry hashes the one before, none is missing, and the run's head is the last."""
    assert [entry["seq"] for entry in audit] == list(range(1, state["audit_seq"] + 1))
    head = hashlib.sha256(f"{state['tenant']}/{state['run_id']}".encode()).digest()
    for entry in audit:
        head = hashlib.sha256(head + entry["body"].encode()).digest()
        assert entry["hash"] == head, f"entry {entry['seq']} does not follow"
    assert state["audit_head"] == head


def check_decided(effect: Row, audit: list[Row]) -> None:
    """An effect was allowed before it was sent."""
    place = (effect["step"], effect["call"])
    entries = [(entry["kind"], json.loads(entry["body"])) for entry in audit]
    of_call = [(kind, body) for kind, body in entries if (body.get("step"), body.get("call")) == place]
    allowed = [
        body
        for kind, body in of_call
        if kind == "decided" and body["verdict"] == "admitted" and body["decision"]["decision"]["kind"] == "allow"
    ]
    assert allowed, f"{effect['tool']} was never allowed"
    assert all(body["arguments_digest"] == effect["arguments_digest"] for body in allowed)
    if effect["state"] == EffectState.SUCCEEDED:
        assert sum(kind in {"finished", "resolved"} and body["effect" if kind == "finished" else "state"] == "succeeded"
                   for kind, body in of_call) == 1  # fmt: skip
