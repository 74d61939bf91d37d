"""Many approval requests in a store: a few opened as a run opens them, then copied in Postgres.

Every copy is whole: its own run, target and view, digests that hold, votes on what is decided. Columns that this file
does not name are those of the request that was copied.
"""

import json
from collections.abc import Iterator
from itertools import product

import psycopg

from contracts.agent import ApprovalTimes, OnExceeded, RunLimits, Stage
from contracts.approval import ApprovalBasis, ApprovalView, EvidenceItem
from contracts.base import JsonObject
from contracts.canonical import digest, digest_bytes, run_id_for
from contracts.decision import GroupCount, Reason, Requirement
from store.approvals import open_request
from store.database import Database

__all__ = ["GROUPS", "PERSONS", "fill"]

GROUPS = ("support-leads", "finance", "access-admins", "legal", "sales-leads")
"""Groups that decide; each request asks one or two of them."""
PERSONS = tuple(f"person{number:02}" for number in range(40))
"""Who has voted on what is decided."""
_DIGEST = digest_bytes(b"")
_LIMITS = RunLimits(
    tokens=60_000, micros=500_000, steps=16, tool_calls=10, malformed=3, active_s=900, age_s=172_800,
    on_exceeded=OnExceeded.ESCALATE,
)  # fmt: skip
_TARGET = "target_00000000"
"""Stands in a template's view where each copy has its own target."""
# Tool, tier, what it is done to, whether money moves.
_DEEDS = (
    ("payments.issue_refund", 3, "Order", True),
    ("payments.pay_invoice", 4, "Invoice", True),
    ("tickets.reply_draft", 1, "Ticket", False),
    ("crm.change_address", 2, "Customer", False),
    ("access.grant_role", 3, "Account", False),
)
_TEXT = (
    "The parcel came twelve days after the promised date and two of the three chairs were scratched. I have sent "
    "photographs twice and nobody answered. I would like the whole amount back, to the card that I paid with. "
)


def _views() -> Iterator[tuple[ApprovalView, Requirement]]:
    """A request for every deed and every group."""
    for number, ((tool, tier, kind, moves_money), group) in enumerate(product(_DEEDS, GROUPS)):
        count = 2 if tier == 4 else 1  # noqa: PLR2004 - the highest tier asks two
        needs = (GroupCount(group=group, count=count),)
        if number % 7 == 0:
            needs += (GroupCount(group=GROUPS[(number + 1) % len(GROUPS)], count=1),)
        requirement = Requirement(id=f"rung-{number}", needs=needs)
        yield _view(number, tool, tier, kind, 1_900 + number * 731 if moves_money else None, requirement), requirement


def _view(
    number: int, tool: str, tier: int, kind: str, money_minor: int | None, requirement: Requirement
) -> ApprovalView:
    arguments: JsonObject = {
        "id": _TARGET,
        "note": _TEXT,
        "reason_code": "late_delivery",
        "amount_minor": money_minor,
        "currency": "EUR",
    }
    record: JsonObject = {"id": _TARGET, "status": "delivered", "owner": "cus_77", "body": _TEXT * 2, "rank": number}
    before: JsonObject = {"status": "delivered", "refunded_minor": 0, "currency": "EUR"}
    trusted: JsonObject = {"label": "trusted", "source": "crm.read_ticket#2", "path": "id", "how": "exact"}
    return ApprovalView(
        tenant="template",
        run_id=run_id_for("template", "benchmark", str(number)),
        agent=f"agent_{number % 6}",
        agent_version=3,
        agent_owner="operations",
        stage=Stage.GATED_WRITES,
        tool=tool,
        tool_version=2,
        tool_description=f"{tool.rpartition('.')[2].replace('_', ' ').capitalize()} as its owner wrote it.",
        tier=tier,
        arguments=arguments,
        provenance=dict.fromkeys(arguments, trusted),
        before=before,
        after={**before, "status": "done", "refunded_minor": money_minor or 0},
        resource_type=kind,
        resource_id=_TARGET,
        resource_version="v7",
        reversible_by="" if tier > 2 else f"{tool}_back",  # noqa: PLR2004 - what can be taken back
        customer_visible=bool(number % 2),
        money_minor=money_minor,
        currency="EUR" if money_minor else None,
        asked_by=f"agent agent_{number % 6}, for an event of support-tickets",
        on_behalf_of=None,
        requirement=requirement,
        reasons=(Reason(policy=f"policy-{number}", text="Above what this agent may do alone."),),
        bundle_digest=_DIGEST,
        model_reason=_TEXT,
        served_model="scripted-2026-11",
        evidence=(
            EvidenceItem(step=1, call=0, tool="crm.read_ticket", label="untrusted", output=record),
            EvidenceItem(step=2, call=0, tool="orders.get_status", label="trusted", output=record),
        ),
    )


async def _open_templates(database: Database, tenant: str) -> None:
    async with database.tenant(tenant) as cursor:
        for template, requirement in _views():
            view = template.model_copy(update={"tenant": tenant})
            basis = ApprovalBasis(
                tenant=tenant,
                run_id=view.run_id,
                step=3,
                call=0,
                tool=view.tool,
                tool_version=2,
                schema_digest=_DIGEST,
                arguments_digest=digest(view.arguments),
                resource_version=view.resource_version,
                requirement=requirement,
                policies=tuple(reason.policy for reason in view.reasons),
                view_digest=digest(view),
            )
            await open_request(cursor, basis=basis, view=view, visit=1, interested=(), times=ApprovalTimes(sla_s=3_600))


_NUMBERED = """
create temporary table numbered on commit drop as
    select n, n <= %(open)s as is_open, (select count(*) from approval_requests where tenant = %(tenant)s) as templates,
        'run-' || translate(left(md5('run' || n || %(tenant)s), 26), '0189', 'ghij') as run_id,
        'apr-' || translate(left(md5('apr' || n || %(tenant)s), 26), '0189', 'ghij') as request_id,
        'target_' || lpad(n::text, 8, '0') as target,
        -- Open ones of the last day; the past over a year.
        now() - case when n <= %(open)s then n * interval '1 day' / (%(open)s + 1)
            else interval '1 day' + (n - %(open)s) * interval '364 days' / %(requests)s end as opened_at
    from generate_series(1, %(requests)s) n
"""
_REQUESTS = """
with templates as (
    select t, row_number() over (order by request_id) - 1 as place from approval_requests t where t.tenant = %(tenant)s
), viewed as (
    select c.*, t.t, replace(replace((t.t).view, (t.t).run_id, c.run_id), %(target)s, c.target) as view
    from numbered c join templates t on t.place = c.n %% c.templates
), based as (
    select v.*, replace(replace((v.t).basis, (v.t).run_id, v.run_id),
        'sha256:' || encode(sha256(convert_to((v.t).view, 'UTF8')), 'hex'),
        'sha256:' || encode(sha256(convert_to(v.view, 'UTF8')), 'hex')) as basis
    from viewed v
)
insert into approval_requests select made.* from based b cross join lateral jsonb_populate_record(b.t,
    jsonb_build_object('request_id', b.request_id, 'run_id', b.run_id, 'view', b.view, 'basis', b.basis,
        'digest', 'sha256:' || encode(sha256(convert_to(b.basis, 'UTF8')), 'hex'), 'resource_id', b.target,
        'state', case when b.is_open then 'open'
            else (array['granted', 'granted', 'granted', 'denied', 'expired'])[1 + b.n %% 5] end,
        'opened_at', b.opened_at, 'sla_at', b.opened_at + interval '1 hour',
        'expires_at', b.opened_at + interval '25 hours',
        'closed_at', case when not b.is_open then b.opened_at + (b.n %% 300) * interval '1 minute' end)) made
"""
_VOTES = """
insert into votes (tenant, decision_id, request_id, run_id, person, display_name, verdict, reason, jws, state, cast_at,
        settled_at)
    select %(tenant)s, 'dec-' || substr(c.request_id, 5), c.request_id, c.run_id, who.name, initcap(who.name),
        case c.n %% 5 when 3 then 'deny' else 'approve' end, case c.n %% 5 when 3 then 'Refunded by hand.' else '' end,
        repeat('jws', 300), 'accepted', c.opened_at + interval '5 minutes', c.opened_at + interval '5 minutes'
    from numbered c cross join lateral (select (%(persons)s::text[])[1 + c.n %% 40] as name) who
    where not c.is_open and c.n %% 5 <> 4
"""
_RUNS = """
insert into runs (tenant, run_id, agent, agent_version, definition, endpoint, event_id, root_run_id, goal, opened_at,
        closed_at, outcome, reason)
    select %(tenant)s, c.run_id, r.agent, 3, %(definition)s, 'support-tickets', c.target, c.run_id, 'An event',
        c.opened_at, case when not c.is_open then c.opened_at + interval '1 hour' end,
        case when not c.is_open then 'completed' end,
        case when not c.is_open then 'done' end
    from numbered c join approval_requests r on r.tenant = %(tenant)s and r.request_id = c.request_id
"""
_DEFINITION = """
insert into definitions (tenant, digest, agent, body)
    values (%(tenant)s, %(definition)s, 'support_refund', %(body)s) on conflict do nothing
"""
_STATES = """
insert into run_state (tenant, run_id, audit_head, steps, tool_calls, micros_used, closed)
    select %(tenant)s, c.run_id, '', 3, 2, 41000, not c.is_open from numbered c
"""


async def fill(
    database: Database, owner_url: str, tenant: str, *, requests: int = 100_000, open_requests: int = 2_000
) -> None:
    """Put requests with their runs and votes into a tenant that has none: `open_requests` open, the others decided.

    `database` is the application's; `owner_url` that of the tables' owner, who writes the copies. The templates stay,
    open, beside them. Takes half a minute.
    """
    await _open_templates(database, tenant)
    values = {
        "tenant": tenant,
        "requests": requests,
        "open": open_requests,
        "target": _TARGET,
        "persons": list(PERSONS),
        "definition": _DIGEST,
        "body": json.dumps({"limits": _LIMITS.model_dump(mode="json")}),
    }
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        for statement in (_NUMBERED, _REQUESTS, _VOTES, _DEFINITION, _RUNS, _STATES):
            await psycopg.AsyncClientCursor(connection).execute(statement, values)
        await connection.commit()
        await connection.set_autocommit(True)
        await connection.execute("analyze approval_requests, approval_terms, votes, runs, run_state")
