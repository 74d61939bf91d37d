"""Rows of a run that asked people, wrote and was refused something: as its activities leave them."""

import json
from collections.abc import Mapping

import psycopg
from psycopg import sql

from contracts.agent import OnExceeded, RunLimits
from store.approvals import StoredRequest

__all__ = ["DENIED", "write_run"]

DENIED = "crm.change_address"
_LIMITS = RunLimits(
    tokens=60_000, micros=500_000, steps=16, tool_calls=10, malformed=3, active_s=900, age_s=172_800,
    on_exceeded=OnExceeded.ESCALATE, retries=6,
)  # fmt: skip
_DEFINITION = "sha256:" + "d" * 64


def write_run(owner_url: str, request: StoredRequest, *, writes: int = 1, outcome: str = "completed") -> None:
    """The run of a request, as the tables' owner: `writes` after the approved one, of which the first is in doubt."""
    run = {"tenant": request.tenant, "run_id": request.run_id}
    write = {
        **run, "tool_version": 1, "service": "backoffice", "arguments_digest": "", "attempts": 1, "state": "succeeded",
    }  # fmt: skip
    refund = {
        "step": request.step, "call": request.call, "tool": request.tool, "natural_key": f"{request.run_id}/refund",
        "arguments": json.dumps({"amount_minor": 48_000, "currency": "EUR", "order_id": "ord_2002"}),
        "amount_minor": 48_000, "currency": "EUR", "request_id": request.request_id,
    }  # fmt: skip
    rows: list[tuple[str, Mapping[str, object]]] = [
        (
            "definitions",
            {"tenant": request.tenant, "digest": _DEFINITION, "agent": request.agent,
             "body": json.dumps({"limits": _LIMITS.model_dump(mode="json")})},
        ),
        (
            "runs",
            {**run, "agent": request.agent, "agent_version": 3, "definition": _DEFINITION, "root_run_id": run["run_id"],
             "goal": "ticket.created from /helpdesk/acme", "outcome": outcome, "reason": "done",
             "closed_at": request.read_at},
        ),
        (
            "run_state",
            {**run, "audit_head": b"", "steps": 4, "tool_calls": 9, "tokens_used": 12_056, "micros_used": 12_300,
             "money_minor": '{"EUR": 48000}', "closed": True},
        ),
        (
            "journal",
            {**run, "step": 2, "call": 1, "visit": 1, "state": "done", "fence": 1, "tool": DENIED,
             "control": json.dumps({"status": "denied", "policies": ["addresses-by-people"]})},
        ),
        ("effects", {**write, **refund}),
    ]  # fmt: skip
    for number in range(writes):
        reply = {
            "step": request.step + 1 + number, "call": 0, "tool": "tickets.reply_draft",
            "natural_key": f"{request.run_id}/{number}",
            "arguments": json.dumps({f"part_{part}": "a sentence of many words " * 20 for part in range(9)}),
        }  # fmt: skip
        rows.append(("effects", {**write, **reply, "state": "succeeded" if number else "unknown"}))
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for table, values in rows:
            names = sql.SQL(", ").join(sql.Identifier(name) for name in values)
            statement = sql.SQL("insert into {} ({}) values ({}) on conflict do nothing").format(
                sql.Identifier(table), names, sql.SQL(", ").join([sql.Placeholder()] * len(values))
            )
            owner.execute(statement, tuple(values.values()))
