"""End an asking as the run decided: what people said reaches the model, and an edit becomes a revision of the call."""

from collections.abc import Sequence

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from activities.approvals import asking_visit
from activities.engine import Engine, engine_fault
from activities.gate.visit import Visit, json_object, schema_unchanged
from activities.proposal import parse_call
from activities.transcript import message_row
from contracts.audit import ApprovalClosed, CallEdited
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest, digest_bytes
from contracts.model import ProposedCall
from contracts.run_activities import ApprovalSettled, Revised, SettleApproval
from contracts.turn import CallContent
from contracts.vote import MAX_EDITS, SignedVote, Verdict, Vote
from policy.votes import read_vote
from store.approvals import find_request, settle_request
from store.journal import tell_call
from store.revisions import Edit, add_edit, edits_of, has_effect
from store.runs import append_audit, lock_run
from store.votes import StoredVote, votes_on

__all__ = ["settle_approval"]

_MAX_PROBLEM_CHARACTERS = 500
_SAID = {
    Verdict.DENY: "Denied by {by}: {words}",
    Verdict.ASK: 'Not run. An approver, {by}, asks: "{words}" Answer by what you do next: propose the call again, with '
    "your answer as its reason, if it should still be made; or do something else.",
    Verdict.HAND_OVER: "Not run. A person, {by}, took this over: {words}",
}
_EXPIRED = "Nobody decided in time; the request expired."


async def settle_approval(engine: Engine, request: SettleApproval) -> ApprovalSettled:
    """Close a request as the run decided, once.

    A granted call runs next and a call that people edited is visited anew; of any other the model is told why not.
    """
    async with engine.db.tenant(request.tenant) as cursor:
        stored = await find_request(cursor, request.tenant, request.request_id)
    if stored is None or stored.run_id != request.run_id:
        engine_fault(f"run {request.run_id} has no approval request {request.request_id}")
    visit, _ = await asking_visit(engine, request, stored.visit)
    async with engine.db.tenant(request.tenant) as cursor:
        await lock_run(cursor, request.tenant, request.run_id)
        current = await find_request(cursor, request.tenant, request.request_id)
        state = await settle_request(
            cursor,
            tenant=request.tenant,
            request_id=request.request_id,
            state=request.state,
            decision_ids=request.decision_ids,
        )
        if current is not None and current.state == "open":
            return await _settle(engine, cursor, request, visit)
    made = await edits_of(engine.db, visit.key, request.revision + 1)
    revised = _revised(made[request.revision]) if len(made) > request.revision else None
    return ApprovalSettled(request_id=request.request_id, state=state or request.state, revised=revised)


async def _settle(
    engine: Engine, cursor: AsyncCursor[DictRow], request: SettleApproval, visit: Visit
) -> ApprovalSettled:
    rows = [
        row
        for row in await votes_on(cursor, request.tenant, request.request_id)
        if row.decision_id in request.decision_ids
    ]
    ending = _ending_of(rows, visit, Verdict.DENY if request.state == "denied" else request.ending)
    entry = ApprovalClosed(
        request_id=request.request_id,
        state=request.state,
        decision_ids=request.decision_ids,
        by=tuple(row.whose for row in rows),
        ending=request.ending,
        said=ending.reason if ending and request.ending else "",
    )
    await append_audit(cursor, request.tenant, request.run_id, "approval_closed", entry.model_dump_json())
    edit: Edit | None = None
    if request.ending is Verdict.EDIT:
        edit = await _edit(engine, cursor, request, visit, ending, rows)
    elif request.state != "granted":
        words = _SAID[ending.verdict].format(by=ending.display_name, words=ending.reason) if ending else _EXPIRED
        told = visit.answer(error=words)
        # Within this transaction, so that nobody finds the request closed and the call without an answer.
        await tell_call(cursor, visit.key, message_row(told))
    return ApprovalSettled(request_id=request.request_id, state=request.state, revised=_revised(edit) if edit else None)


async def _edit(
    engine: Engine,
    cursor: AsyncCursor[DictRow],
    request: SettleApproval,
    visit: Visit,
    vote: Vote | None,
    rows: Sequence[StoredVote],
) -> Edit:
    """Keep the edit as the call's next revision; one that cannot be used keeps the arguments as they were."""
    if vote is None:
        engine_fault(f"request {request.request_id} was edited by nobody")
    text = next((row.edited for row in rows if row.decision_id == vote.decision_id), None) or ""
    before = canonical_bytes(visit.arguments).decode()
    problem = await _problem(engine, cursor, request, visit, text)
    kept = before if problem else text
    edit = Edit(
        revision=request.revision + 1,
        arguments=kept,
        arguments_digest=digest_bytes(kept.encode()),
        request_id=request.request_id,
        decision_id=vote.decision_id,
        person=vote.person,
        for_person=vote.delegated.person if vote.delegated else "",
        display_name=vote.display_name,
        reason=vote.reason,
        problem=problem,
    )
    await add_edit(cursor, visit.key, edit)
    entry = CallEdited(
        step=request.step,
        call=request.call,
        revision=edit.revision,
        tool=request.tool,
        request_id=request.request_id,
        decision_id=vote.decision_id,
        by=vote.person,
        changed=tuple(_changed(visit.arguments, json_object(kept))),
        arguments_digest=edit.arguments_digest,
        problem=problem,
    )
    await append_audit(cursor, request.tenant, request.run_id, "call_edited", entry.model_dump_json())
    return edit


async def _problem(
    engine: Engine, cursor: AsyncCursor[DictRow], request: SettleApproval, visit: Visit, text: str
) -> str:
    """Why the edited arguments cannot be used; empty when they can. The form could look by the schema alone."""
    if digest_bytes(text.encode()) != request.edited:
        return "the arguments in the store are not those that the approver signed"
    if request.revision >= MAX_EDITS:
        return f"a call is edited {MAX_EDITS} times at most"
    if not schema_unchanged(engine, visit.pinned, visit.tool):
        return f"{request.tool} has changed since the run began"
    if await has_effect(cursor, visit.key):
        return "the call was admitted with its earlier arguments before"
    parsed = parse_call(ProposedCall(call_id=visit.call.call_id, tool=request.tool, arguments_json=text), visit.tools)
    if not isinstance(parsed, CallContent):
        return parsed.message[:_MAX_PROBLEM_CHARACTERS]
    if digest(parsed.arguments) != request.edited:
        names = ", ".join(_changed(json_object(text), parsed.arguments))
        return f"the tool reads other values than were written, of: {names}"[:_MAX_PROBLEM_CHARACTERS]
    return ""


def _ending_of(rows: Sequence[StoredVote], visit: Visit, verdict: Verdict | None) -> Vote | None:
    """The vote that ended a request, as it was signed: what the model is told is what the approver wrote."""
    signed = [
        read_vote(SignedVote(jws=row.jws), visit.agent.vote_keys) for row in rows if row.verdict is verdict is not None
    ]
    return next((vote for vote in signed if isinstance(vote, Vote)), None)


def _changed(before: JsonObject, after: JsonObject) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _revised(edit: Edit) -> Revised:
    return Revised(revision=edit.revision, arguments_digest=edit.arguments_digest, problem=edit.problem)
