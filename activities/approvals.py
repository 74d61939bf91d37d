"""Ask people, and end the asking. What they are shown is built from recorded values, never from the model's prose."""

import json
from collections.abc import Sequence
from typing import cast

from activities.engine import Engine, engine_fault
from activities.gate.run_tool import preview_of
from activities.gate.visit import Visit, key_of, visit_of
from activities.transcript import message_row, tool_message
from contracts.agent import Stage
from contracts.approval import ApprovalBasis, ApprovalView, EvidenceItem
from contracts.audit import ApprovalAsked, ApprovalClosed, CallDecided
from contracts.base import JsonObject
from contracts.call import ExecuteTool
from contracts.canonical import canonical_bytes, digest_bytes
from contracts.decision import DecisionRecord
from contracts.run_activities import ApprovalOpened, ApprovalSettled, OpenApproval, SettleApproval
from contracts.tool import Label, Preview, Tool
from contracts.vote import Verdict
from store.approvals import find_request, open_request, request_id_for, settle_request
from store.journal import load_call, tell_call
from store.runs import append_audit, load_run, load_transcript, served_model_of
from store.votes import votes_on

__all__ = ["open_approval", "settle_approval"]

_MAX_EVIDENCE = 100
_WORDS = {
    "denied": "Denied by {by}: {reason}",
    "expired": "Nobody decided in time; the request expired.",
}
"""What the model is told. A granted request runs; a voided one is asked again."""


async def open_approval(engine: Engine, request: OpenApproval) -> ApprovalOpened:
    """Open a request for the visit that found the requirement; again, return the same one."""
    visit, tool = await _visit(engine, request, request.visit)
    decided = CallDecided.model_validate_json(visit.loaded.stored_decision or "{}")
    record = decided.decision
    if record is None or record.decision.kind != "needs_approval" or record.decision.requirement != request.requirement:
        engine_fault(f"visit {request.visit} of step {request.step} call {request.call} asked for no such approval")
    preview = await preview_of(engine, visit, tool)
    run = await load_run(engine.db, request.tenant, request.run_id)
    transcript = await load_transcript(engine.db, request.tenant, request.run_id)
    served_model = await served_model_of(engine.db, request.tenant, request.run_id, request.step)
    if run is None:
        engine_fault(f"there is no run {request.run_id}")
    view = _view(visit, tool, decided, record, preview, run, _evidence(transcript, visit), served_model)
    basis = ApprovalBasis(
        tenant=request.tenant,
        run_id=request.run_id,
        step=request.step,
        call=request.call,
        tool=tool.name,
        tool_version=tool.version,
        schema_digest=visit.pinned.schema_digest,
        arguments_digest=request.arguments_digest,
        resource_version=preview.resource_version if preview else "",
        requirement=record.decision.requirement,
        policies=tuple(reason.policy for reason in record.decision.reasons),
        view_digest=digest_bytes(canonical_bytes(view)),
    )
    async with engine.db.tenant(request.tenant) as cursor:
        # Two attempts at once queue here, so that the audit entry is written once.
        await cursor.execute(
            "select 1 from run_state where tenant = %s and run_id = %s for update", (request.tenant, request.run_id)
        )
        stored = await find_request(cursor, request.tenant, request_id_for(basis, request.visit))
        if stored is None:
            stored = await open_request(
                cursor, basis=basis, view=view, visit=request.visit,
                interested=tuple(cast("list[str]", run["interested"])), times=visit.pinned.approval,
            )  # fmt: skip
            entry = ApprovalAsked(
                request_id=stored.request_id,
                step=request.step,
                call=request.call,
                visit=request.visit,
                tool=tool.name,
                digest=stored.digest,
                requirement=record.decision.requirement.id,
                policies=basis.policies,
            )
            await append_audit(cursor, request.tenant, request.run_id, "approval_asked", entry.model_dump_json())
    return ApprovalOpened(
        request_id=stored.request_id,
        digest=stored.digest,
        requirement=stored.requirement,
        tier=stored.tier,
        opened_at=int(stored.opened_at.timestamp()),
        sla_at=int(stored.sla_at.timestamp()),
        expires_at=int(stored.expires_at.timestamp()),
    )


async def settle_approval(engine: Engine, request: SettleApproval) -> ApprovalSettled:
    """Close a request as the run decided; for a denial or an expiry, tell the model."""
    async with engine.db.tenant(request.tenant) as cursor:
        stored = await find_request(cursor, request.tenant, request.request_id)
    if stored is None or stored.run_id != request.run_id:
        engine_fault(f"run {request.run_id} has no approval request {request.request_id}")
    visit, tool = await _visit(engine, request, stored.visit)
    async with engine.db.tenant(request.tenant) as cursor:
        await cursor.execute(
            "select 1 from run_state where tenant = %s and run_id = %s for update", (request.tenant, request.run_id)
        )
        current = await find_request(cursor, request.tenant, request.request_id)
        state = await settle_request(
            cursor,
            tenant=request.tenant,
            request_id=request.request_id,
            state=request.state,
            decision_ids=request.decision_ids,
        )
        if current is None or current.state != "open":
            return ApprovalSettled(request_id=request.request_id, state=state or request.state)
        votes = await votes_on(cursor, request.tenant, request.request_id)
        counted = [vote for vote in votes if vote.decision_id in request.decision_ids]
        entry = ApprovalClosed(
            request_id=request.request_id,
            state=request.state,
            decision_ids=request.decision_ids,
            by=tuple(vote.person for vote in counted),
        )
        await append_audit(cursor, request.tenant, request.run_id, "approval_closed", entry.model_dump_json())
        if request.state in _WORDS:
            denial = next((vote for vote in counted if vote.verdict is Verdict.DENY), None)
            words = _WORDS[request.state].format(
                by=denial.display_name if denial else "a person", reason=denial.reason if denial else "no reason given"
            )
            await tell_call(cursor, visit.key, message_row(tool_message(visit.call.call_id, tool.name, error=words)))
    return ApprovalSettled(request_id=request.request_id, state=request.state)


async def _visit(engine: Engine, request: OpenApproval | SettleApproval, number: int) -> tuple[Visit, Tool]:
    """The visit that asks, checked against what the run really proposed."""
    agent = await engine.definition(request.tenant, request.definition)
    asking = ExecuteTool(
        tenant=request.tenant,
        run_id=request.run_id,
        definition=request.definition,
        step=request.step,
        call=request.call,
        visit=number,
        tool=request.tool,
        arguments_digest=request.arguments_digest,
    )
    loaded = await load_call(engine.db, key_of(asking), agent=agent.name, tool=request.tool, values_after=0)
    if loaded is None:
        engine_fault(f"there is no run {request.run_id} in tenant {request.tenant}")
    visit = visit_of(engine, asking, agent, loaded)
    if visit.tool is None:
        engine_fault(f"{request.tool} is gone")
    return visit, visit.tool


def _evidence(transcript: Sequence[JsonObject], visit: Visit) -> tuple[EvidenceItem, ...]:
    """Outputs of the calls that completed before this one was proposed."""
    items: list[EvidenceItem] = []
    for row in transcript:
        content = cast("JsonObject", row["content"])
        if row["call"] is None or content.get("role") != "tool" or content.get("is_error"):
            continue
        tool = str(content["tool"])
        known = visit.tools.get(tool)
        untrusted = known is None or Label.UNTRUSTED in known.labels.values()
        items.append(
            EvidenceItem(
                step=cast("int", row["step"]),
                call=cast("int", row["call"]),
                tool=tool,
                label="untrusted" if untrusted else "trusted",
                output=cast("JsonObject", json.loads(str(content["text"]))),
            )
        )
    return tuple(items[-_MAX_EVIDENCE:])


def _view(
    visit: Visit,
    tool: Tool,
    decided: CallDecided,
    record: DecisionRecord,
    preview: Preview | None,
    run: JsonObject,
    evidence: tuple[EvidenceItem, ...],
    served_model: str,
) -> ApprovalView:
    request, context = visit.request, record.request.context
    typed = tool.args_model.model_validate(visit.arguments)
    money = tool.money(typed)
    asked = record.decision
    if asked.kind != "needs_approval":
        engine_fault("a view is built for a request only")
    return ApprovalView(
        tenant=request.tenant,
        run_id=request.run_id,
        agent=visit.agent.name,
        agent_version=visit.agent.version,
        agent_owner=visit.agent.owner,
        stage=Stage(str(context["stage"])),
        tool=tool.name,
        tool_version=tool.version,
        tool_description=tool.description,
        tier=cast("int", context["tier"]),
        arguments=visit.arguments,
        provenance=decided.evidence,
        before=preview.before if preview else None,
        after=preview.after if preview else None,
        resource_type=tool.resource_type,
        resource_id=tool.resource_id(typed),
        resource_version=preview.resource_version if preview else "",
        reversible_by=tool.compensation,
        customer_visible=tool.customer_visible,
        money_minor=money.amount_minor if money else None,
        currency=money.currency if money else None,
        asked_by=f"{visit.agent.name}, started by {run['goal']}",
        on_behalf_of=visit.loaded.run.on_behalf_of,
        requirement=asked.requirement,
        reasons=asked.reasons,
        bundle_digest=record.bundle_digest,
        model_reason=visit.call.why,
        served_model=served_model,
        evidence=evidence,
    )
