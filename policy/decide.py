"""The decision: without a grant, then up the ladder, or with the grant that is really held."""

from collections.abc import Sequence

from contracts.decision import Allowed, AuthorizationRequest, Decision, DecisionRecord, Denied, NeedsApproval
from policy.bundle import Bundle
from policy.cedar import Evaluation

__all__ = ["decide"]


def decide(
    bundle: Bundle, request: AuthorizationRequest, *, granted: Sequence[str] = (), approvers: int = 0
) -> DecisionRecord:
    """Decide a call.

    Args:
        bundle: the current policies.
        request: what is asked, complete but for the grant.
        granted: rungs that the presented grant satisfies; empty without one.
        approvers: how many distinct persons the presented grant has.

    Returns:
        `allow`; `deny` when no rung of the ladder would help; else `needs_approval` with the lowest rung that would.
    """
    return DecisionRecord(
        request=request,
        granted=tuple(granted),
        decision=_decision(bundle, request, granted, approvers),
        bundle_digest=bundle.digest,
    )


def _decision(bundle: Bundle, request: AuthorizationRequest, granted: Sequence[str], approvers: int) -> Decision:
    held = bundle.engine.evaluate(request, granted, approvers)
    if held.errors:
        return _denied(bundle, held)
    if held.allowed:
        return Allowed(reasons=bundle.reasons(held.policies))
    for rung in bundle.ladder.rungs:
        hypothetical = bundle.engine.evaluate(request, bundle.ladder.implied_by(rung), rung.persons)
        if hypothetical.errors:
            return _denied(bundle, hypothetical)
        if hypothetical.allowed:
            asking = tuple(sorted({*held.policies, *hypothetical.policies}))
            return NeedsApproval(requirement=rung, reasons=bundle.reasons(asking))
    return _denied(bundle, held)


def _denied(bundle: Bundle, evaluation: Evaluation) -> Denied:
    return Denied(reasons=bundle.reasons(evaluation.policies), errors=evaluation.errors)
