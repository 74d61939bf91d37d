"""A standing approval in place of people who are asked: found and verified anew for every call."""

from dataclasses import dataclass
from typing import cast

from temporalio import activity

from activities.engine import Engine
from activities.gate.visit import Visit
from activities.grants import Counted, count_votes
from contracts.base import JsonObject
from contracts.decision import AuthorizationRequest, NeedsApproval, StandingUse
from contracts.standing import StandingTerms, standing_run_id
from contracts.tool import Tool
from contracts.vote import SignedVote
from policy.bundle import Bundle
from policy.provenance import Trace
from policy.standing import CallMet, opened_standing, outside
from settings.errors import SettingsError
from settings.standing import StandingFile, load_standing
from store.accounts import persons_behind
from store.standing import Cursor, StandingCandidate, not_declared, standing_for, terms_of

__all__ = ["StandingGrant", "standing_grant"]


@dataclass(frozen=True)
class StandingGrant:
    """A standing approval that holds for a call, unless admission finds otherwise."""

    use: StandingUse
    rungs: tuple[str, ...]
    """Rungs of the ladder that it is a grant of."""
    approvers: int
    """How many persons the rung has: those who agreed beyond that lift nothing more."""
    counted: JsonObject
    """What admission counts it by."""


async def standing_grant(
    engine: Engine,
    visit: Visit,
    tool: Tool,
    bundle: Bundle,
    request: AuthorizationRequest,
    asked: NeedsApproval,
    traces: dict[str, Trace],
) -> StandingGrant | None:
    """The oldest that holds for a call for which policy asks people; None: people are asked.

    Whatever is wrong with one of them, it is as if it were not there. What an approver wrote is for others to see.
    """
    if visit.request.revision:
        return None
    async with engine.db.tenant(visit.request.tenant) as cursor:
        candidates = await standing_for(cursor, visit.key, visit.agent.name, tool.name)
        if not candidates:
            return None
        try:
            declared = load_standing(engine.settings.standing_file)
        except SettingsError as error:
            activity.logger.error("no standing approval holds: %s", error)
            return None
        met = _met(visit, tool, bundle, request, asked, traces)
        for candidate in candidates:
            terms = terms_of(candidate.terms, candidate.digest)
            if terms is None or not _holds(terms, candidate, declared, met, visit.request.tenant):
                continue
            if await _agreed(cursor, visit, terms, candidate):
                return _grant(terms, candidate, bundle, met)
    return None


def _met(
    visit: Visit,
    tool: Tool,
    bundle: Bundle,
    request: AuthorizationRequest,
    asked: NeedsApproval,
    traces: dict[str, Trace],
) -> CallMet:
    context = request.context
    return CallMet(
        agent=visit.agent.name,
        tool=tool.name,
        tool_version=tool.version,
        schema_digest=visit.pinned.schema_digest,
        arguments=visit.arguments,
        traces=traces,
        unproven=cast("list[str]", context["unproven"]),
        tainted=cast("list[str]", context["tainted_arguments"]),
        tier=cast("int", context["tier"]),
        money=tool.money(tool.args_model.model_validate(visit.arguments)),
        asked=asked,
        permits=bundle.permits,
        ladder=bundle.ladder,
        now_s=visit.loaded.now_s,
    )


def _holds(
    terms: StandingTerms, candidate: StandingCandidate, declared: StandingFile, met: CallMet, tenant: str
) -> bool:
    if (terms.tenant, terms.standing_id) != (tenant, candidate.standing_id):
        return False
    if not_declared(terms, declared.scopes.get(terms.scope)) or outside(terms, met):
        return False
    if candidate.mine is not None:
        return True
    amount, total = _amounts(terms, met)
    return candidate.uses < terms.max_uses and candidate.moved_minor + amount <= total


async def _agreed(cursor: Cursor, visit: Visit, terms: StandingTerms, candidate: StandingCandidate) -> bool:
    """Whether enough people agreed to exactly these terms, who still may, and of whom none is a party of the run."""
    counted = await count_votes(
        cursor,
        [SignedVote(jws=jws) for jws in candidate.votes],
        opened=opened_standing(terms),
        keys=visit.agent.vote_keys,
        tenant=terms.tenant,
        run_id=standing_run_id(terms.standing_id),
        interested=await persons_behind(
            cursor, terms.tenant, (terms.proposed_by, terms.proposer, *candidate.interested)
        ),
        now_s=visit.loaded.now_s,
    )
    return isinstance(counted, Counted) and not any(vote.delegated for vote in counted.votes)


def _grant(terms: StandingTerms, candidate: StandingCandidate, bundle: Bundle, met: CallMet) -> StandingGrant:
    number = candidate.mine or candidate.uses + 1
    amount, total = _amounts(terms, met)
    return StandingGrant(
        use=StandingUse(standing_id=terms.standing_id, number=number, max_uses=terms.max_uses),
        rungs=bundle.ladder.implied_by(terms.rung),
        approvers=terms.rung.persons,
        counted={
            "standing_id": terms.standing_id,
            "digest": candidate.digest,
            "number": number,
            "max_uses": terms.max_uses,
            "total_minor": total,
            "until_s": terms.until,
            "amount_minor": amount,
        },
    )


def _amounts(terms: StandingTerms, met: CallMet) -> tuple[int, int]:
    """Minor units that the call moves, and that all uses together may move."""
    return (met.money.amount_minor if met.money else 0), (terms.money.total_minor if terms.money else 0)
