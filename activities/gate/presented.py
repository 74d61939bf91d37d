"""A grant that a visit presents: whether it was given for exactly this, and still holds."""

from dataclasses import dataclass

from activities.engine import Engine
from activities.gate.run_tool import preview_of
from activities.gate.visit import Visit
from activities.grants import Counted, count_votes
from contracts.approval import ApprovalBasis
from contracts.canonical import digest
from contracts.decision import NeedsApproval
from contracts.tool import Tool
from contracts.vote import Grant
from policy.bundle import Bundle
from policy.moments import still_declared
from policy.votes import satisfied
from store.approvals import find_request

__all__ = ["Held", "check_grant"]


@dataclass(frozen=True)
class Held:
    """A grant that holds."""

    rungs: tuple[str, ...]
    """Of the ladder: those that its approvers meet."""
    approvers: int
    """How many persons they are."""


async def check_grant(
    engine: Engine, visit: Visit, tool: Tool, bundle: Bundle, asked: NeedsApproval, grant: Grant, *, tier: int
) -> Held | str:
    """What the grant is good for, or why it is void. `tier` is that of the call as it is decided on now."""
    request = visit.request
    async with engine.db.tenant(request.tenant) as cursor:
        stored = await find_request(cursor, request.tenant, grant.request_id)
        if stored is None or stored.run_id != request.run_id:
            return "there is no such approval request"
        basis = ApprovalBasis.model_validate_json(stored.basis)
        changed = _difference(visit, asked, basis)
        if changed:
            return changed
        if visit.loaded.now_s >= min(grant.expires_at, int(stored.expires_at.timestamp())):
            return "the approval has expired"
        # By the basis alone: the row's other columns serve lists, and whoever changes them must change nothing here.
        opened = stored.opened().model_copy(
            update={
                "digest": digest(basis),
                "requirement": asked.requirement,
                "tier": max(stored.tier, tier),
                "escalations": still_declared(basis.escalations, bundle.ladder),
            }
        )
        counted = await count_votes(
            cursor, grant.votes, opened=opened, keys=visit.agent.vote_keys, tenant=request.tenant,
            run_id=request.run_id, interested=stored.interested, now_s=visit.loaded.now_s,
        )  # fmt: skip
    if not isinstance(counted, Counted):
        return counted
    moved = await _target_moved(engine, visit, tool, basis.resource_version)
    return moved or Held(satisfied(bundle.ladder.rungs, counted.votes), len(counted.votes))


def _difference(visit: Visit, asked: NeedsApproval, basis: ApprovalBasis) -> str:
    """What has changed since people were asked; empty when nothing has."""
    request = visit.request
    now = {
        "arguments": (basis.arguments_digest, request.arguments_digest),
        "call": ((basis.run_id, basis.step, basis.call), (request.run_id, request.step, request.call)),
        "tool": ((basis.tool, basis.tool_version), (request.tool, visit.pinned.version)),
        "tool's schema": (basis.schema_digest, visit.pinned.schema_digest),
        "requirement": (basis.requirement, asked.requirement),
        "determining policies": (basis.policies, tuple(reason.policy for reason in asked.reasons)),
    }
    for what, (then, today) in now.items():
        if then != today:
            return f"the {what} changed since the approval was asked"
    return ""


async def _target_moved(engine: Engine, visit: Visit, tool: Tool, shown: str) -> str:
    """Whether what the call acts on has another version than people were shown, where the tool can tell.

    Once the call may have been sent, its own effect may have moved the target: then the ledger knows, not the version.
    """
    if not shown or visit.was_sent:
        return ""
    preview = await preview_of(engine, visit, tool)
    if preview is None:
        return "what it acts on cannot be read, so nobody can say whether it is as it was when the approval was asked"
    return "" if preview.resource_version == shown else "what it acts on changed since the approval was asked"
