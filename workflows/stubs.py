"""How a run calls its activities: which are local, how long they may take, what is retried."""

from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy

from contracts.agent import PinnedTool
from contracts.call import CallHead, ExecuteTool
from contracts.run_activities import CALL_MODEL, ENGINE_FAULT, EXECUTE_TOOL, MODEL_REJECTED, NOT_ADMITTED, ActivityStub
from contracts.turn import CallModel, TurnHead

__all__ = ["call_model", "execute_tool", "regular", "short"]

InT = TypeVar("InT", bound=BaseModel)
OutT = TypeVar("OutT", bound=BaseModel)

_HEARTBEAT_TIMEOUT = timedelta(seconds=10)
_SHORT_TIMEOUT_S = 30
_SLACK_S = 10
_LEASE_SLACK_S = 60
_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=[MODEL_REJECTED, NOT_ADMITTED, ENGINE_FAULT],
)


async def short(
    stub: ActivityStub[InT, OutT], argument: InT, *, activity_id: str, wait_s: int, summary: str = ""
) -> OutT:
    """A short activity on the store, run locally. `wait_s`: how long a store that is down is waited for."""
    return await workflow.execute_local_activity(
        stub.name,
        argument,
        result_type=stub.returns,
        activity_id=activity_id,
        start_to_close_timeout=timedelta(seconds=_SHORT_TIMEOUT_S),
        schedule_to_close_timeout=timedelta(seconds=wait_s + _SHORT_TIMEOUT_S),
        retry_policy=_RETRY,
        summary=summary or None,
    )


async def regular(
    stub: ActivityStub[InT, OutT],
    argument: InT,
    *,
    activity_id: str,
    timeout_s: float,
    wait_s: float,
    summary: str = "",
) -> OutT:
    """An activity with events of its own, retried until `wait_s` has passed."""
    return await _regular(
        stub.name, argument, stub.returns, activity_id=activity_id, timeout_s=timeout_s, wait_s=wait_s, summary=summary
    )


async def _regular(
    name: str,
    argument: BaseModel,
    reads: type[OutT],
    *,
    activity_id: str,
    timeout_s: float,
    wait_s: float,
    summary: str = "",
) -> OutT:
    return await workflow.execute_activity(
        name,
        argument,
        result_type=reads,
        activity_id=activity_id,
        start_to_close_timeout=timedelta(seconds=timeout_s),
        schedule_to_close_timeout=timedelta(seconds=wait_s + timeout_s),
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_RETRY,
        summary=summary or None,
    )


async def call_model(argument: CallModel, *, attempt: int, timeout_s: float, wait_s: int) -> TurnHead:
    """The model call of a step, with its first reads. The run reads the head of what is recorded, as of every call."""
    return await _regular(
        CALL_MODEL.name,
        argument,
        TurnHead,
        activity_id=f"s{argument.step}-model" + (f"-{attempt}" if attempt else ""),
        timeout_s=timeout_s + _SLACK_S,
        wait_s=wait_s,
    )


async def execute_tool(tool: PinnedTool, argument: ExecuteTool, *, wait_s: int) -> CallHead:
    """One visit of a call through the gate."""
    activity_id = f"s{argument.step}-c{argument.call}-v{argument.visit}"
    attempts_s = tool.longest_s + _SLACK_S
    if tool.is_short_read:
        return await workflow.execute_local_activity(
            EXECUTE_TOOL.name,
            argument,
            result_type=CallHead,
            activity_id=activity_id,
            start_to_close_timeout=timedelta(seconds=attempts_s),
            schedule_to_close_timeout=timedelta(seconds=attempts_s + wait_s),
            retry_policy=_RETRY,
        )
    return await _regular(
        EXECUTE_TOOL.name,
        argument,
        CallHead,
        activity_id=activity_id,
        timeout_s=attempts_s + _LEASE_SLACK_S,
        wait_s=wait_s,
        summary=f"step {argument.step}: {argument.tool}" + (" (approved)" if argument.grant else ""),
    )
