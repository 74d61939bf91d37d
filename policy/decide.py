"""The decision: without a grant, then up the ladder, or with the grant that is really held."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.decision import (
    Allowed,
    AuthorizationRequest,
    Decision,
    DecisionRecord,
    Denied,
    GrantKind,
    NeedsApproval,
    PrincipalVerdict,
    Requirement,
)
from policy.bundle import Bundle
from policy.cedar import Evaluation

__all__ = ["Answer", "Tried", "ask", "decide", "tried"]

_SILENT = Evaluation(allowed=True, policies=())
"""Of a tenant without an overlay."""


@dataclass(frozen=True)
class Answer:
    """What policy says of a call under one grant: of the agent, and of the user on whose behalf it acts."""

    allowed: bool
    policies: tuple[str, ...]
    """Ids of the determining policies, sorted: of an allow all permits, of a denial the policies that deny."""
    errors: tuple[str, ...]
    principals: tuple[PrincipalVerdict, ...]
    """One for each principal; empty where the agent acts for nobody."""


@dataclass(frozen=True)
class Tried:
    """A rung of the ladder and what policy says once it is granted."""

    rung: Requirement | None
    """None: what is held, or nothing."""
    answer: Answer


def decide(
    bundle: Bundle,
    request: AuthorizationRequest,
    *,
    granted: Sequence[str] = (),
    approvers: int = 0,
    checked: Sequence[str] = (),
    kind: GrantKind = "people",
) -> DecisionRecord:
    """Decide a call.

    Args:
        bundle: the current policies.
        request: what is asked, complete but for the grant.
        granted: rungs that the presented grant satisfies; empty without one.
        approvers: how many distinct persons the presented grant has.
        checked: checks that the call has passed.
        kind: where the presented grant comes from.

    Returns:
        `allow`; `deny` when no rung of the ladder would help; else `needs_approval` with the lowest rung that would.
    """
    steps = tried(bundle, request, granted=granted, approvers=approvers, checked=checked, kind=kind)
    held, last = steps[0].answer, steps[-1]
    decision: Decision
    if last.answer.allowed and last.rung is None:
        decision, answer = Allowed(reasons=bundle.reasons(held.policies)), held
    elif last.answer.allowed and last.rung is not None:
        asking = tuple(sorted({*held.policies, *last.answer.policies}))
        decision, answer = NeedsApproval(requirement=last.rung, reasons=bundle.reasons(asking)), last.answer
    else:
        # What denies whoever agrees is the reason; what people could lift would only mislead.
        answer = last.answer
        standing = tuple(name for name in answer.policies if all(name in step.answer.policies for step in steps))
        decision = Denied(reasons=bundle.reasons(standing or answer.policies), errors=answer.errors)
    return DecisionRecord(
        request=request,
        granted=tuple(granted),
        approvers=approvers,
        decision=decision,
        bundle_digest=bundle.digest,
        principals=answer.principals,
    )


def tried(
    bundle: Bundle,
    request: AuthorizationRequest,
    *,
    granted: Sequence[str] = (),
    approvers: int = 0,
    checked: Sequence[str] = (),
    kind: GrantKind = "people",
) -> list[Tried]:
    """What is held, then each rung in ascending order, until one allows or an evaluation fails."""
    steps = [Tried(None, ask(bundle, request, granted, approvers, checked, kind))]
    for rung in bundle.ladder.rungs:
        if steps[-1].answer.allowed or steps[-1].answer.errors:
            break
        steps.append(Tried(rung, ask(bundle, request, bundle.ladder.implied_by(rung), rung.persons, checked)))
    return steps


def ask(
    bundle: Bundle,
    request: AuthorizationRequest,
    granted: Sequence[str],
    approvers: int,
    checked: Sequence[str] = (),
    kind: GrantKind = "people",
) -> Answer:
    """Put a request to every policy that has a say; all must allow it.

    The organisation's and the agent's policies and the tenant's overlay, asked of the agent and of the user whom it
    acts for.
    """
    found = _of_principal(bundle, request, granted, approvers, checked, kind)
    if not request.user:
        return Answer(found.allowed, found.policies, found.errors, ())
    # It shares the context: the engine knows it again up the ladder.
    acting = request.model_copy(update={"principal": request.user})
    both = (found, _of_principal(bundle, acting, granted, approvers, checked, kind))
    allowed = all(one.allowed for one in both)
    deciding = both if allowed else [one for one in both if not one.allowed]
    return Answer(
        allowed,
        tuple(sorted({policy for one in deciding for policy in one.policies})),
        tuple(error for one in both for error in one.errors),
        tuple(
            PrincipalVerdict(principal=name, allowed=one.allowed, policies=one.policies)
            for name, one in zip((request.principal, request.user), both, strict=True)
        ),
    )


def _of_principal(
    bundle: Bundle,
    request: AuthorizationRequest,
    granted: Sequence[str],
    approvers: int,
    checked: Sequence[str],
    kind: GrantKind,
) -> Evaluation:
    main = bundle.engine.evaluate(request, granted, approvers, checked, kind)
    overlay = bundle.overlays.get(str(request.context.get("tenant")))
    narrowed = overlay.evaluate(request, granted, approvers, checked, kind) if overlay is not None else _SILENT
    # Whatever an engine says of it: an evaluation that failed allows nothing.
    errors = (*main.errors, *narrowed.errors)
    if narrowed.allowed:
        return Evaluation(allowed=main.allowed and not errors, policies=main.policies, errors=errors)
    # Both kinds of denial are told: lifting one of them alone would not help.
    denying = main.policies if not main.allowed else ()
    return Evaluation(allowed=False, policies=tuple(sorted({*denying, *narrowed.policies})), errors=errors)
