"""Ask people. What they are shown is built from recorded values, never from the model's prose."""

import json
from collections.abc import Sequence
from typing import cast

from activities.engine import Engine, engine_fault
from activities.gate.run_tool import preview_of
from activities.gate.visit import Visit, key_of, visit_of
from activities.models.schemas import plain_schema
from activities.opening import open_and_record
from contracts.agent import Stage
from contracts.approval import ApprovalBasis, ApprovalView, ArgumentChange, Earlier, EvidenceItem
from contracts.audit import CallDecided
from contracts.base import JsonObject
from contracts.call import ExecuteTool
from contracts.canonical import canonical_bytes, digest_bytes
from contracts.run_activities import ApprovalOpened, OpenApproval, SettleApproval
from contracts.tool import Label, Preview, Tool
from contracts.vote import MAX_EDITS, PLAIN_CHOICES, Verdict
from store.approvals import find_request, request_id_for
from store.journal import load_call
from store.revisions import SaidBefore, editors_of, edits_of, keep_schema, said_before
from store.runs import load_run, load_transcript, lock_run, served_model_of

__all__ = ["asking_visit", "open_approval"]

_MAX_EVIDENCE = 100
_MAX_ANSWER_CHARACTERS = 2_000


async def open_approval(engine: Engine, request: OpenApproval) -> ApprovalOpened:
    """Open a request for the visit that found the requirement; again, return the same one."""
    visit, tool = await asking_visit(engine, request, request.visit)
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
    async with engine.db.tenant(request.tenant) as cursor:
        said = await said_before(cursor, request.tenant, request.run_id, tool.name)
        editors = await editors_of(cursor, visit.key, request.arguments_digest)
        await keep_schema(cursor, request.tenant, visit.pinned.schema_digest, plain_schema(tool.args_model))
    earlier = tuple(_earlier(one, transcript, visit) for one in said)
    view = _view(visit, tool, decided, preview, run, _evidence(transcript, visit), earlier, served_model)
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
        choices=_choices(visit),
        editors=editors,
        view_digest=digest_bytes(canonical_bytes(view)),
    )
    async with engine.db.tenant(request.tenant) as cursor:
        await lock_run(cursor, request.tenant, request.run_id)
        stored = await find_request(cursor, request.tenant, request_id_for(basis, request.visit))
        if stored is None:
            times = visit.pinned.approval
            stored = await open_and_record(
                engine, cursor, run, basis=basis, view=view, visit=request.visit, times=times
            )
    return stored.opened()


async def asking_visit(engine: Engine, request: OpenApproval | SettleApproval, number: int) -> tuple[Visit, Tool]:
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
        revision=request.revision,
    )
    loaded = await load_call(engine.db, key_of(asking), agent=agent.name, tool=request.tool, values_after=0)
    if loaded is None:
        engine_fault(f"there is no run {request.run_id} in tenant {request.tenant}")
    edits = await edits_of(engine.db, key_of(asking), request.revision)
    visit = visit_of(engine, asking, agent, loaded, edits)
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


def _choices(visit: Visit) -> tuple[Verdict, ...]:
    """What people may say. Where no model proposes (an undo, whose plan an operator has seen) there is none to ask."""
    if not visit.agent.models:
        return (*PLAIN_CHOICES, Verdict.HAND_OVER)
    edit = (Verdict.EDIT,) if visit.arguments and len(visit.edits) < MAX_EDITS else ()
    return (*PLAIN_CHOICES, *edit, Verdict.ASK, Verdict.HAND_OVER)


def _earlier(said: SaidBefore, transcript: Sequence[JsonObject], visit: Visit) -> Earlier:
    edited = said.edited
    names = sorted(said.asked.keys() | edited.keys()) if edited is not None and not said.problem else ()
    return Earlier(
        request_id=said.request_id,
        step=said.step,
        verdict=said.verdict,
        person=said.person,
        display_name=said.display_name,
        words=said.reason,
        changes=tuple(
            ArgumentChange(name=name, before=said.asked.get(name), after=edited.get(name))
            for name in names
            if edited is not None and said.asked.get(name) != edited.get(name)
        )[:_MAX_EVIDENCE],
        problem=said.problem,
        answer=_answer(said, transcript, visit) if said.verdict is Verdict.ASK else "",
    )


def _answer(said: SaidBefore, transcript: Sequence[JsonObject], visit: Visit) -> str:
    """What the model has said since a question: its texts, and its reason for proposing the call again."""
    texts: list[str] = []
    for row in transcript:
        content = cast("JsonObject", row["content"])
        if content.get("role") == "assistant" and said.step < cast("int", row["step"]) <= visit.request.step:
            texts.append(str(content.get("text", "")).strip())
    texts.append(visit.call.why.strip())
    return "\n".join(text for text in texts if text)[:_MAX_ANSWER_CHARACTERS]


def _view(
    visit: Visit,
    tool: Tool,
    decided: CallDecided,
    preview: Preview | None,
    run: JsonObject,
    evidence: tuple[EvidenceItem, ...],
    earlier: tuple[Earlier, ...],
    served_model: str,
) -> ApprovalView:
    record = decided.decision
    if record is None or record.decision.kind != "needs_approval":
        engine_fault("a view is built for a request only")
    request, context, asked = visit.request, record.request.context, record.decision
    typed = tool.args_model.model_validate(visit.arguments)
    money = tool.money(typed)
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
        earlier=earlier,
    )
