"""The decision about a visit: recorded facts, provenance, policy, and the grant if one is presented."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from activities.emergencies import lifted
from activities.engine import Engine
from activities.gate.presented import Held, check_grant
from activities.gate.visit import Visit
from activities.outgoing import outgoing_of
from activities.standing import StandingGrant, standing_grant
from contracts.agent import Stage
from contracts.call import EffectState
from contracts.decision import AuthorizationRequest, DecisionRecord, Denied, GrantKind
from contracts.outgoing import Outgoing
from contracts.tool import Tool
from policy.bundle import Bundle, BundleError
from policy.checks import decide_with_checks
from policy.decide import decide
from policy.provenance import Trace
from policy.request import CallFacts, UserFacts, authorization_request
from store.accounts import find_account
from store.checks import verdicts_of

__all__ = ["Judgement", "judge"]

_NOBODY = UserFacts()
_NO_BUNDLE = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Judgement:
    """What policy says, and what it was asked."""

    record: DecisionRecord
    traces: dict[str, Trace]
    void: str = ""
    """Why a presented grant does not hold; empty when it holds or none was presented."""
    request_id: str | None = None
    """The approval request whose grant was used."""
    standing: StandingGrant | None = None
    """The standing approval that stood for people."""
    sees_the_day: bool = False
    """Whether a policy that decided may have looked at what the tenant's day has counted."""


async def judge(engine: Engine, visit: Visit, tool: Tool, *, repeated: bool) -> Judgement:
    """Decide a visit under the current bundle. Whatever goes wrong on the way is a denial."""
    traces = visit.traces(tool)
    facts = facts_of(visit, repeated=repeated, user=await _user_of(engine, visit)).model_copy(
        update={
            "outgoing": _outgoing(engine, visit, tool),
            "mandate": visit.values.mandate(tool, visit.arguments),
        }
    )
    try:
        bundle = engine.bundles.current()
    except (BundleError, OSError, ValidationError) as error:
        request = authorization_request(facts, visit.agent, tool, visit.arguments, traces)
        return Judgement(_refused(request, f"the policies cannot be used: {error}"[:500]), traces)
    request = authorization_request(facts, visit.agent, tool, visit.arguments, traces, bundle.tiers)
    record = await _decided(engine, visit, bundle, request)
    if record.decision.kind != "allow":
        lifts = await lifted(engine, visit.request.tenant, visit.agent.name, tool.name)
        if lifts:
            facts = facts.model_copy(update={"break_glass": lifts})
            request = authorization_request(facts, visit.agent, tool, visit.arguments, traces, bundle.tiers)
            record = await _decided(engine, visit, bundle, request)
    asked = record.decision
    if asked.kind != "needs_approval":
        return Judgement(record, traces, sees_the_day=bundle.sees_the_day)
    if visit.request.grant is None:
        standing = await standing_grant(engine, visit, tool, bundle, request, asked, traces)
        if standing is not None:
            stands = await _decided(engine, visit, bundle, request, standing.rungs, standing.approvers, "standing")
            if stands.decision.kind == "allow":
                record = stands.model_copy(update={"standing": standing.use})
                return Judgement(record, traces, standing=standing, sees_the_day=bundle.sees_the_day)
        return Judgement(record, traces, sees_the_day=bundle.sees_the_day)
    tier = cast("int", request.context["tier"])
    held = await check_grant(engine, visit, tool, bundle, asked, visit.request.grant, tier=tier)
    if not isinstance(held, Held):
        return Judgement(record, traces, void=held, sees_the_day=bundle.sees_the_day)
    granted = await _decided(engine, visit, bundle, request, held.rungs, held.approvers)
    return Judgement(granted, traces, request_id=visit.request.grant.request_id, sees_the_day=bundle.sees_the_day)


async def _decided(
    engine: Engine,
    visit: Visit,
    bundle: Bundle,
    request: AuthorizationRequest,
    granted: tuple[str, ...] = (),
    approvers: int = 0,
    kind: GrantKind = "people",
) -> DecisionRecord:
    """What policy says; of an agent that has checks, with what they said of this call."""
    if not visit.agent.checks:
        return decide(bundle, request, granted=granted, approvers=approvers, kind=kind)
    passed, failed = await verdicts_of(engine.db, visit.key, visit.request.revision)
    return decide_with_checks(
        bundle, request, declared=visit.agent.checks, passed=passed, failed=failed, granted=granted,
        approvers=approvers, kind=kind,
    )  # fmt: skip


def _outgoing(engine: Engine, visit: Visit, tool: Tool) -> Outgoing:
    live = engine.registry.live(visit.agent.name)
    rules = live.file.output_rules if live else ()
    return outgoing_of(engine.outgoing, rules, tool, visit.arguments, visit.records)


async def _user_of(engine: Engine, visit: Visit) -> UserFacts:
    """The user on whose behalf the run acts, as the accounts are now: nobody known, nothing allowed."""
    name = visit.loaded.run.on_behalf_of
    if name is None:
        return UserFacts()
    tenant = visit.request.tenant
    async with engine.db.tenant(tenant) as cursor:
        account = await find_account(cursor, tenant, name)
    if account is None:
        return UserFacts()
    return UserFacts(enabled=not account.disabled, groups=account.groups, roles=account.roles)


def facts_of(visit: Visit, *, repeated: bool, user: UserFacts = _NOBODY) -> CallFacts:
    """What the store said, as policy takes it. An agent without a state in the tenant is off.

    Counters are those before this call: one that an earlier attempt admitted must not stand in its own way.
    """
    run, state = visit.loaded.run, visit.loaded.agent
    own = Counter({visit.request.tool: 1} if visit.loaded.counted else {})
    effect = visit.loaded.effect
    money = Counter(
        {effect.currency: effect.amount_minor} if effect and effect.currency and effect.amount_minor else {}
    )
    calls_today, money_today_minor = _today(visit)
    return CallFacts(
        calls_today=calls_today,
        money_today_minor=money_today_minor,
        tenant=visit.request.tenant,
        run_id=visit.request.run_id,
        on_behalf_of=run.on_behalf_of,
        stage=state.stage if state else Stage.OFF,
        enabled=state.enabled if state else False,
        tier_ceiling=state.tier_ceiling if state else 0,
        halted=bool(visit.loaded.halted_by),
        admitted=dict(Counter(run.admitted) - own),
        completed=run.completed,
        money_minor=dict(Counter(run.money_minor) - money),
        tool_calls=run.tool_calls - own.total(),
        tainted=run.tainted,
        repeated=repeated,
        user=user,
        opened_s=run.opened_s,
        now_s=visit.loaded.now_s,
    )


def _today(visit: Visit) -> tuple[int, int]:
    """Calls of the tool in the tenant's day, and what they moved of this call's currency; this call left out."""
    today, tool, effect = visit.loaded.today, visit.tool, visit.loaded.effect
    if today is None or tool is None:
        return 0, 0
    money = tool.money(tool.args_model.model_validate(visit.arguments))
    moved = today.money.get(money.currency, 0) if money else 0
    own = effect.amount_minor or 0 if effect and effect.state is not EffectState.FAILED_FINAL else 0
    return max(today.calls - visit.loaded.counted, 0), max(moved - own, 0)


def _refused(request: AuthorizationRequest, error: str) -> DecisionRecord:
    return DecisionRecord(
        request=request, granted=(), decision=Denied(reasons=(), errors=(error,)), bundle_digest=_NO_BUNDLE
    )
