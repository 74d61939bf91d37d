"""Standing approvals: proposed like a request that people have seen, and decided as what cannot be undone."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints, ValidationError

from approvals.characters import pieces
from approvals.passkey_proofs import keep_evidence, sign_off
from approvals.seen import SightOf
from approvals.services import DecidingServices
from approvals.visitors import Visitor
from approvals.wire import DecideStanding
from contracts.approval import ApprovalBasis, ApprovalView
from contracts.base import Record
from contracts.canonical import digest_bytes, opaque_id
from contracts.standing import AnyValue, AtMost, Bound, Equals, OneOf, StandingMoney, StandingTerms, standing_run_id
from contracts.vote import SignedVote, Verdict, Vote, VoteRefusal, VoteRefused
from policy.standing import opened_standing
from policy.votes import judge_vote, quorum, read_vote
from settings.standing import load_standing
from store.accounts import persons_behind
from store.approvals import find_request
from store.decoys import find_decoy
from store.seen import keep_page
from store.sessions import StoredSession
from store.standing import (
    DECIDED_WITHIN_S,
    Cursor,
    StandingNotAllowed,
    StandingShown,
    find_standing,
    keep_vote,
    not_declared,
    propose_standing,
    terms_of,
    votes_for,
)
from store.vote_keys import vote_keys

__all__ = ["ProposeStanding", "decide_standing", "propose_like", "unbounded_argument"]

_DAY_S = 86_400
_MAX_VALUE = 2_000


class ProposeStanding(Record):
    """What somebody proposes: like that request, within these bounds."""

    like: str = Field(pattern=r"^apr-[a-z2-7]{26}$")
    """A request of the same agent and tool: what it asked for is what the standing approval stands for."""
    scope: str = Field(max_length=63)
    """A scope of `settings/standing.yaml`."""
    bounds: tuple[Bound, ...] = Field(min_length=1, max_length=50)
    """One for each argument."""
    max_uses: int = Field(ge=1, le=10_000)
    total_minor: int | None = Field(default=None, ge=1, le=2**53 - 1)
    """The most that all uses together may move, in minor units of the request's currency."""
    days: int = Field(ge=1, le=92)
    """How long it holds."""
    reason: Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")]


def unbounded_argument(view: ApprovalView) -> str | None:
    """An argument of the call for which no bound can be given, so that nothing like it can stand; None: each can."""
    for name in view.arguments:
        try:
            AnyValue(argument=name)
        except ValidationError:
            return name
    return None


async def propose_like(
    cursor: Cursor, tenant: str, posted: ProposeStanding, *, standing_file: Path, username: str, person: str
) -> StandingShown:
    """Propose one.

    Raises:
        StandingNotAllowed: settings, the request or the bounds do not allow it; the message says what to change.
        SettingsError: the file of scopes has a mistake.
    """
    request = await find_request(cursor, tenant, posted.like)
    # Nothing may come of a test request, not even a proposal.
    if request is None or not request.is_intact() or await find_decoy(cursor, tenant, posted.like) is not None:
        raise StandingNotAllowed(f"there is no request {posted.like} that can be read")
    basis = ApprovalBasis.model_validate_json(request.basis)
    view = ApprovalView.model_validate_json(request.view)
    scope = load_standing(standing_file).scopes.get(posted.scope)
    if scope is None:
        raise StandingNotAllowed(f"no scope {posted.scope} is declared in settings/standing.yaml")
    answered = tuple(reason for reason in view.reasons if reason.policy in scope.policies)
    if not answered:
        raise StandingNotAllowed(f"{posted.scope} answers none of what asked for people there")
    _check_bounds(posted.bounds, view)
    if (view.currency is None) != (posted.total_minor is None):
        need = "say how much all uses together may move" if view.currency else "it moves no money: leave the total out"
        raise StandingNotAllowed(need)
    now = int(request.read_at.timestamp())
    until = now + posted.days * _DAY_S
    terms = StandingTerms(
        tenant=tenant,
        standing_id=opaque_id("sta", tenant, secrets.token_hex(16)),
        scope=posted.scope,
        agent=view.agent,
        tool=basis.tool,
        tool_version=basis.tool_version,
        schema_digest=basis.schema_digest,
        bounds=posted.bounds,
        rung=basis.requirement,
        policies=answered,
        max_tier=view.tier,
        max_uses=posted.max_uses,
        money=StandingMoney(currency=view.currency, total_minor=posted.total_minor)
        if view.currency and posted.total_minor
        else None,
        reason=posted.reason,
        proposed_by=person,
        proposer=username,
        proposed_at=now,
        decide_until=min(now + DECIDED_WITHIN_S, until),
        until=until,
    )
    problem = not_declared(terms, scope)
    if problem:
        raise StandingNotAllowed(problem)
    return await propose_standing(cursor, terms)


def _check_bounds(bounds: tuple[Bound, ...], view: ApprovalView) -> None:
    names = [bound.argument for bound in bounds]
    if sorted(names) != sorted(view.arguments):
        raise StandingNotAllowed(f"give one bound for each of {', '.join(sorted(view.arguments))}")
    for bound in bounds:
        value = view.arguments[bound.argument]
        if isinstance(bound, AtMost) and (isinstance(value, bool) or not isinstance(value, int)):
            raise StandingNotAllowed(f"{bound.argument} is no number: it cannot be at most something")
        for text in _texts(_values_of(bound)):
            if len(text) > _MAX_VALUE or any(piece.name for piece in pieces(text)):
                raise StandingNotAllowed(
                    f"a value of {bound.argument} is too long, or has characters that hide or imitate others"
                )


def _values_of(bound: Bound) -> Iterable[JsonValue]:
    match bound:
        case Equals(value=value):
            return (value,)
        case OneOf(values=values):
            return values
        case _:
            return ()


def _texts(values: Iterable[JsonValue]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)
        elif isinstance(value, dict):
            yield from _texts([*value, *value.values()])


async def decide_standing(
    cursor: Cursor,
    services: DecidingServices,
    visitor: Visitor,
    standing_id: str,
    posted: DecideStanding,
    sight: SightOf[StandingShown] | None = None,
    answer: str = "",
) -> StandingShown | VoteRefusal:
    """Judge, sign and keep one person's decision, while nobody else changes what it is about.

    `sight`: of a decision in a browser, the page on which it was made; `answer`: what their passkey answered there.

    Returns:
        What it is with the vote; or why nothing was signed.

    Raises:
        StandingNotAllowed: there is none.
    """
    tenant, signer = visitor.tenant, services.signer
    found = await find_standing(cursor, tenant, standing_id, lock=True)
    terms = terms_of(found.terms, found.digest)
    if found.state != "proposed":
        return VoteRefusal.REQUEST_CLOSED
    # What is damaged cannot be shown: nobody can have seen it.
    if terms is None or terms.standing_id != standing_id or posted.digest != found.digest:
        return VoteRefusal.WRONG_DIGEST
    page = sight.page(found) if sight is not None else None
    vote = _vote(visitor.session, terms, posted, int(found.read_at.timestamp()), page)
    keys = {**signer.public_keys, **await vote_keys(cursor)}
    kept = [read_vote(SignedVote(jws=one.jws), keys) for one in await votes_for(cursor, tenant, standing_id)]
    accepted = [one for one in kept if isinstance(one, Vote) and one.digest == found.digest]
    opened = opened_standing(terms)
    judged = judge_vote(
        vote,
        opened=opened,
        run_id=vote.run_id,
        tenant=tenant,
        interested=await persons_behind(cursor, tenant, (terms.proposed_by, terms.proposer)),
        accepted=accepted,
        now_s=vote.voted_at,
    )
    if isinstance(judged, VoteRefused):
        return judged.refusal
    if sight is not None and sight.seen != vote.seen:
        return VoteRefusal.NOT_AS_SEEN
    signed_off = await sign_off(cursor, services.passkeys, visitor, vote, opened.tier, answer)
    if isinstance(signed_off, VoteRefusal):
        return signed_off
    vote = signed_off.vote
    agreed = quorum(opened.requirement, [*accepted, vote])
    state = "denied" if vote.verdict is Verdict.DENY else "granted" if agreed else "proposed"
    signed = signer.sign(vote)
    await keep_vote(cursor, standing_id, vote, signed, state, tool=found.tool)
    if page is not None:
        await keep_page(cursor, tenant, page)
    await keep_evidence(cursor, signed_off, signed)
    return await find_standing(cursor, tenant, standing_id)


def _vote(session: StoredSession, terms: StandingTerms, posted: DecideStanding, now_s: int, page: str | None) -> Vote:
    return Vote(
        tenant=terms.tenant,
        run_id=standing_run_id(terms.standing_id),
        request_id=opened_standing(terms).request_id,
        digest=posted.digest,
        verdict=posted.verdict,
        reason=posted.reason,
        seen=digest_bytes(page.encode()) if page is not None else None,
        decision_id=opaque_id("dec", terms.tenant, terms.standing_id, session.person),
        issuer=session.issuer,
        subject=session.username,
        person=session.person,
        display_name=session.display_name,
        groups=session.groups,
        authenticated_at=int(session.authenticated_at.timestamp()),
        strength="multi_factor" if session.multi_factor else "password",
        voted_at=now_s,
        expires_at=terms.decide_until,
    )
