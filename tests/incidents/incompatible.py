"""Workflows of the same name that do something else: what a careless change of the real one would be."""

import asyncio
from datetime import timedelta

from temporalio import workflow

from contracts.event import RunRequest
from contracts.outcome import RunReport
from contracts.run_activities import PIN_AGENT, Pinned
from contracts.turn import CallModel
from workflows import stubs

AGE_S = 172_800


async def _pin(request: RunRequest) -> Pinned:
    return await stubs.short(PIN_AGENT, request, activity_id="pin", wait_s=request.store_wait_s)


@workflow.defn(name="AgentRun")
class OtherActivity:
    """Asks something else first."""

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        await _pin(request)
        async with asyncio.timeout(AGE_S):
            await workflow.execute_activity(
                "fetch_weather", request, activity_id="s1-weather", start_to_close_timeout=timedelta(seconds=5)
            )
        raise AssertionError


@workflow.defn(name="AgentRun")
class OtherOrder:
    """Thinks before it pins."""

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        asked = CallModel(tenant=request.tenant, run_id=request.run_id, definition="sha256:" + "0" * 64, step=1)
        turn = await stubs.call_model(asked, attempt=0, timeout_s=60, wait_s=20)
        raise AssertionError(turn)


@workflow.defn(name="AgentRun")
class EarlyEnd:
    """Gives up at once."""

    @workflow.run
    async def run(self, request: RunRequest) -> None:
        await _pin(request)


@workflow.defn(name="AgentRun")
class Broken:
    """Has a fault of its own."""

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        await _pin(request)
        raise KeyError("step")
