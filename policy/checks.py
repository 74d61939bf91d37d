"""Decisions where policy may ask for a check: like the ladder's rungs, checks are tried as if they had passed."""

from collections.abc import Collection, Mapping, Sequence

from contracts.decision import (
    Allowed,
    AuthorizationRequest,
    DecisionRecord,
    Denied,
    GrantKind,
    NeedsApproval,
    NeedsCheck,
    Reason,
)
from policy.bundle import Bundle
from policy.decide import decide

__all__ = ["decide_with_checks"]


def decide_with_checks(
    bundle: Bundle,
    request: AuthorizationRequest,
    *,
    declared: Collection[str],
    passed: Collection[str] = (),
    failed: Mapping[str, str] | None = None,
    granted: Sequence[str] = (),
    approvers: int = 0,
    kind: GrantKind = "people",
) -> DecisionRecord:
    """Decide a call of an agent that declares checks.

    Args:
        bundle: the current policies.
        request: what is asked.
        declared: checks that can be made.
        passed: those that this call has passed.
        failed: those that said no, with their reasons.
        granted: rungs that the presented grant satisfies.
        approvers: how many distinct persons the presented grant has.
        kind: where the presented grant comes from.

    Returns:
        As `decide`; `needs_check` where the checks not made yet would bring the call further than people alone can; a
        denial where a check that policy asks for said no. A passed check never stands for an approval.
    """
    failed = failed or {}
    done = sorted(passed)
    held = decide(bundle, request, granted=granted, approvers=approvers, checked=done, kind=kind)
    open_checks = sorted(set(declared) - set(done))
    if held.decision.kind == "allow" or not open_checks:
        return held
    best = decide(bundle, request, granted=granted, approvers=approvers, checked=[*done, *open_checks], kind=kind)
    if _cost(bundle, best) >= _cost(bundle, held):
        return held
    needed = open_checks
    for name in open_checks:
        fewer = [other for other in needed if other != name]
        if _cost(
            bundle,
            decide(bundle, request, granted=granted, approvers=approvers, checked=[*done, *fewer], kind=kind),
        ) == _cost(bundle, best):
            needed = fewer
    refused = [name for name in needed if name in failed]
    if refused:
        said = tuple(Reason(policy=f"check:{name}", text=failed[name]) for name in refused)
        return held.model_copy(update={"decision": Denied(reasons=(*said, *held.decision.reasons))})
    asked = NeedsCheck(checks=tuple(needed), reasons=held.decision.reasons)
    return held.model_copy(update={"decision": asked})


def _cost(bundle: Bundle, record: DecisionRecord) -> int:
    """How much stands between a call and its permission: nothing, a rung of the ladder, or a wall."""
    match record.decision:
        case Allowed():
            return 0
        case NeedsApproval(requirement=wanted):
            return 1 + bundle.ladder.rungs.index(wanted)
        case _:
            return 1 + len(bundle.ladder.rungs)
