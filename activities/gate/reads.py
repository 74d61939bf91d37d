"""Perform an admitted read. It changes nothing outside, so it may be tried again."""

from activities.engine import Engine
from activities.gate.cache import cached_output, keep_output
from activities.gate.finish import Ended, finish
from activities.gate.run_tool import attempt_tool, pause_before
from activities.gate.visit import Visit
from contracts.call import CallResult, CallStatus
from contracts.decision import DecisionRecord
from contracts.tool import Tool
from store.journal import Admission

__all__ = ["perform_read"]


async def perform_read(
    engine: Engine, visit: Visit, tool: Tool, admission: Admission, record: DecisionRecord
) -> CallResult | Admission:
    """Run a read within its attempts, and tell the model its output or why there is none."""
    served = await cached_output(engine, visit, tool)
    if served is not None:
        ended = Ended(status=CallStatus.RAN, attempts=0, output=served[0], cached_from=served[1].run_id)
        return await finish(engine, visit, tool, admission, record, ended)
    attempt = 0
    while True:
        found = await attempt_tool(engine, visit, tool, epoch=admission.epoch)
        attempt += 1
        if found.kind == "done":
            ended = Ended(status=CallStatus.RAN, attempts=attempt, output=found.output)
            await keep_output(engine, visit, tool, found.output or {})
            return await finish(engine, visit, tool, admission, record, ended)
        if found.kind == "rejected" or attempt >= tool.attempts:
            ended = Ended(status=CallStatus.FAILED, attempts=attempt, message=found.message, fault=found.kind)
            return await finish(engine, visit, tool, admission, record, ended)
        await pause_before(attempt - 1, found.wait_s)
