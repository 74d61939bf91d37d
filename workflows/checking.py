"""Checks before a call: the run has each of them made, and the gate decides again on what they said."""

from collections.abc import Sequence

from contracts.check import CheckResult, RunCheck
from contracts.event import RunRequest
from contracts.run_activities import RUN_CHECK, Pinned
from contracts.turn import CallControl
from workflows import stubs

__all__ = ["make_checks"]

_FUNCTION_S = 30.0
_SLACK_S = 10


async def make_checks(
    request: RunRequest, pinned: Pinned, step: int, index: int, call: CallControl, names: Sequence[str]
) -> CheckResult | None:
    """Have checks of a call made, one after another.

    Returns:
        The one that could not be made (a limit was met, or a kill switch is on); None when each gave its verdict, be it
        a no: the gate reads them from the store, not from here.
    """
    for name in names:
        check = pinned.agent.checks.get(name)
        role = check.role if check else ""
        timeout_s = pinned.agent.models[role].timeout_s + _SLACK_S if role else _FUNCTION_S
        made = await stubs.regular(
            RUN_CHECK,
            RunCheck(
                tenant=request.tenant,
                run_id=request.run_id,
                definition=pinned.definition,
                step=step,
                call=index,
                tool=call.tool,
                arguments_digest=call.arguments_digest,
                revision=call.revision,
                check=name,
            ),
            activity_id=f"s{step}-c{index}-check-{name}" + (f"-r{call.revision}" if call.revision else ""),
            timeout_s=timeout_s,
            wait_s=max(request.model_wait_s, request.store_wait_s),
            summary=f"step {step}: check {call.tool} by {name}",
        )
        if made.control.kind in ("limit_reached", "halted"):
            return made
    return None
