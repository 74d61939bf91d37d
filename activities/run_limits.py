"""What happens to a run that meets a limit or goes in circles: the model is told, or people are asked for a raise."""

from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from activities.engine import Engine, engine_fault
from activities.grants import Counted, count_votes
from activities.moments import current_ladder
from activities.opening import open_and_record
from activities.transcript import message_row
from contracts.agent import ApprovalTimes, PinnedAgent, Stage
from contracts.approval import ApprovalBasis, ApprovalView
from contracts.audit import ApprovalClosed
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest, digest_bytes
from contracts.decision import Reason, Requirement
from contracts.limits import (
    RAISE_TOOL,
    LimitChanged,
    Noted,
    NoteRun,
    OpenRaise,
    RaiseOpened,
    RaiseSettled,
    SettleRaise,
)
from contracts.model import UserMessage
from policy.limits import Raise, draft_changes, in_words, raise_of
from policy.moments import still_declared
from store.approvals import StoredRequest, find_request, request_id_for, settle_request
from store.limits import LimitChange, RunUsage, change_limits, run_usage
from store.runs import append_audit, load_run, lock_run, served_model_of
from store.votes import votes_on

__all__ = ["note_run", "open_raise", "settle_raise"]

_CALL = -2
"""Place of notes and raises beside the calls of a step; -1 is the model call."""
_TIER = 3
_TIMES = ApprovalTimes()
_POLICY = "limits-on-exceeded"


async def note_run(engine: Engine, request: NoteRun) -> Noted:
    """Tell the model, and where it goes on with drafts alone, let the gate know; once."""
    agent = await engine.definition(request.tenant, request.definition)
    words = {
        "loop_warning": f"You are going in circles: {request.detail}. Do something else, finish, or hand over: if this "
        "goes on, the run ends.",
        "drafts_only": f"{in_words(request.detail).capitalize()} is nearly used up. From now on only reads and drafts "
        "(tier 1) run; finish what is needed with them, or hand over.",
    }[request.kind]
    entry = LimitChanged(step=request.step, ordinal=request.ordinal, what=request.kind, limit=request.detail)
    state = await change_limits(
        engine.db,
        request.tenant,
        request.run_id,
        LimitChange(
            step=request.step,
            ordinal=request.ordinal,
            changes=draft_changes(agent.limits) if request.kind == "drafts_only" else None,
            message=message_row(UserMessage(text=words)),
            kind="limits",
            audit=entry.model_dump_json(),
        ),
    )
    return Noted(state=state, step=request.step, kind=request.kind, detail=request.detail)


async def open_raise(engine: Engine, request: OpenRaise) -> RaiseOpened:
    """Put a raise before people; again, return the same request."""
    agent = await engine.definition(request.tenant, request.definition)
    usage = await run_usage(engine.db, request.tenant, request.run_id)
    run = await load_run(engine.db, request.tenant, request.run_id)
    if usage is None or run is None or usage.definition != request.definition:
        engine_fault(f"there is no run {request.run_id} with this definition")
    asked = raise_of(agent.limits, request.limit)
    if asked is None:
        return RaiseOpened(opened=None, refusal=f"{in_words(request.limit)} cannot be raised for one run")
    requirement = _requirement(engine, request.tenant)
    if requirement is None:
        return RaiseOpened(opened=None, refusal="limits.yaml names no rung of the ladder that could be asked")
    served_model = await served_model_of(engine.db, request.tenant, request.run_id, max(request.step, 1))
    async with engine.db.tenant(request.tenant) as cursor:
        stage = await _stage(cursor, request.tenant, agent.name)
        view = _view(request, agent, asked, usage, run, requirement, served_model, stage)
        basis = _basis(request, view)
        await lock_run(cursor, request.tenant, request.run_id)
        stored = await find_request(cursor, request.tenant, request_id_for(basis, request.ordinal))
        if stored is None:
            if (
                await _raises(cursor, request.tenant, request.run_id)
                >= engine.limits.tenant(request.tenant).raises.most
            ):
                return RaiseOpened(opened=None, refusal="the run's limits were raised as often as limits.yaml allows")
            stored = await open_and_record(
                engine, cursor, run, basis=basis, view=view, visit=request.ordinal, times=_TIMES
            )
    return RaiseOpened(opened=stored.opened())


async def settle_raise(engine: Engine, request: SettleRaise) -> RaiseSettled:
    """Close the request as the run decided; a grant whose votes hold raises the limit, once."""
    agent = await engine.definition(request.tenant, request.definition)
    async with engine.db.tenant(request.tenant) as cursor:
        stored = await find_request(cursor, request.tenant, request.request_id)
        if stored is None or stored.run_id != request.run_id or stored.tool != RAISE_TOOL:
            engine_fault(f"run {request.run_id} asked for no raise {request.request_id}")
        asked = raise_of(agent.limits, request.limit)
        if asked is None or _asked_of(stored) != request.limit:
            engine_fault(f"request {request.request_id} was not about {request.limit}")
        refusal = await _refusal(engine, cursor, agent, stored, request) if request.state == "granted" else ""
    if request.state == "granted" and not refusal:
        await change_limits(engine.db, request.tenant, request.run_id, _change(request, agent, asked))
    async with engine.db.tenant(request.tenant) as cursor:
        await lock_run(cursor, request.tenant, request.run_id)
        current = await find_request(cursor, request.tenant, request.request_id)
        state = "voided" if refusal else request.state
        await settle_request(
            cursor, tenant=request.tenant, request_id=request.request_id, state=state,
            decision_ids=request.decision_ids,
        )  # fmt: skip
        if current is not None and current.state == "open":
            votes = await votes_on(cursor, request.tenant, request.request_id)
            entry = ApprovalClosed(
                request_id=request.request_id,
                state=state,
                decision_ids=request.decision_ids,
                by=tuple(vote.whose for vote in votes if vote.decision_id in request.decision_ids),
            )
            await append_audit(cursor, request.tenant, request.run_id, "approval_closed", entry.model_dump_json())
    granted = request.state == "granted" and not refusal
    return RaiseSettled(
        request_id=request.request_id, limit=request.limit, granted=granted, by=asked.by if granted else 0,
        refusal=refusal,
    )  # fmt: skip


async def _refusal(
    engine: Engine, cursor: AsyncCursor[DictRow], agent: PinnedAgent, stored: StoredRequest, request: SettleRaise
) -> str:
    """Why the run's word that it was granted does not hold; empty when it does."""
    if request.grant is None or request.grant.request_id != stored.request_id:
        return "no grant was presented"
    if stored.read_at >= stored.expires_at:
        return "the approval has expired"
    if not stored.is_intact():
        return "what people were shown is not what is stored"
    opened = stored.opened()
    opened = opened.model_copy(update={"escalations": still_declared(opened.escalations, current_ladder(engine))})
    counted = await count_votes(
        cursor, request.grant.votes, opened=opened, keys=agent.vote_keys, tenant=request.tenant,
        run_id=request.run_id, interested=stored.interested, now_s=int(stored.read_at.timestamp()),
    )  # fmt: skip
    return "" if isinstance(counted, Counted) else counted


def _change(request: SettleRaise, agent: PinnedAgent, asked: Raise) -> LimitChange:
    day = None
    if asked.day_scope:
        subject = agent.name if asked.day_scope == "agent" else "*"
        day = {"scope": asked.day_scope, "subject": subject, "measure": asked.measure, "by": asked.by}
    entry = LimitChanged(
        step=request.step, ordinal=request.ordinal, what="raised", limit=request.limit, by=asked.by,
        request_id=request.request_id,
    )  # fmt: skip
    return LimitChange(
        step=request.step,
        ordinal=request.ordinal,
        changes=None if day else {request.limit: asked.by},
        day=day,
        kind="limits",
        audit=entry.model_dump_json(),
    )


def _requirement(engine: Engine, tenant: str) -> Requirement | None:
    """Who is asked: the rung that the tenant names, or the lowest."""
    ladder = current_ladder(engine)
    named = engine.limits.tenant(tenant).raises.asks
    return ladder.rung(named) if named else next(iter(ladder.rungs), None)


async def _raises(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> int:
    await cursor.execute(
        "select count(*) as n from approval_requests where tenant = %s and run_id = %s and tool = %s",
        (tenant, run_id, RAISE_TOOL),
    )
    row = await cursor.fetchone()
    return int(row["n"]) if row else 0


async def _stage(cursor: AsyncCursor[DictRow], tenant: str, agent: str) -> Stage:
    await cursor.execute("select stage from agent_states where tenant = %s and agent = %s", (tenant, agent))
    row = await cursor.fetchone()
    return Stage(row["stage"]) if row else Stage.OFF


def _asked_of(stored: StoredRequest) -> str:
    return str(ApprovalView.model_validate_json(stored.view).arguments.get("limit", ""))


def _used(usage: RunUsage, limit: str) -> int | None:
    """What the run used of one of its own limits; None of a day's."""
    return {
        "tokens": usage.tokens_used + usage.tokens_reserved,
        "usd": usage.micros_used + usage.micros_reserved,
        "steps": usage.steps,
        "tool_calls": usage.tool_calls,
        "retries": usage.retries,
    }.get(limit)


def _view(
    request: OpenRaise, agent: PinnedAgent, asked: Raise, usage: RunUsage, run: JsonObject, requirement: Requirement,
    served_model: str, stage: Stage,
) -> ApprovalView:  # fmt: skip
    used = _used(usage, request.limit)
    arguments: JsonObject = {"limit": request.limit, "raise_by": asked.by}
    declared = asked.by * 2 + usage.limit_changes.get(request.limit, 0)
    own = not asked.day_scope
    return ApprovalView(
        tenant=request.tenant,
        run_id=request.run_id,
        agent=agent.name,
        agent_version=agent.version,
        agent_owner=agent.owner,
        stage=stage,
        tool=RAISE_TOOL,
        tool_version=1,
        tool_description=f"Raise limit: {in_words(request.limit)}",
        tier=_TIER,
        arguments=arguments,
        provenance={},
        before={"limit": declared, "used": used} if own else None,
        after={"limit": declared + asked.by, "used": used} if own else None,
        resource_type="Run",
        resource_id=request.run_id,
        resource_version="",
        reversible_by="",
        customer_visible=False,
        money_minor=None,
        currency=None,
        asked_by=f"{agent.name}, started by {run['goal']}",
        on_behalf_of=cast("str | None", run.get("on_behalf_of")),
        requirement=requirement,
        reasons=(
            Reason(policy=_POLICY, text="The agent declares that people are asked when a run of it meets a limit."),
        ),
        bundle_digest=digest({"requirement": requirement.model_dump(mode="json")}),
        model_reason="",
        served_model=served_model,
        evidence=(),
    )


def _basis(request: OpenRaise, view: ApprovalView) -> ApprovalBasis:
    return ApprovalBasis(
        tenant=request.tenant,
        run_id=request.run_id,
        step=request.step,
        call=_CALL,
        tool=RAISE_TOOL,
        tool_version=1,
        schema_digest=digest({"tool": RAISE_TOOL, "version": 1}),
        arguments_digest=digest(view.arguments),
        resource_version="",
        requirement=view.requirement,
        policies=(_POLICY,),
        view_digest=digest_bytes(canonical_bytes(view)),
    )
