"""The short reads that a model has just asked for, made by the activity that asked it.

A read changes nothing and its visit is journaled, so a repetition of the activity finds it done. What does not fit in
here, or fails, is left to the run: it visits the call as if nobody had tried. Answer, admissions and results are
committed without waiting for the disk but for the last: the run is told when all of it is there.
"""

import logging
import time

from activities.engine import Engine
from activities.gate import Gate
from contracts.call import CallResult, ExecuteTool
from contracts.turn import CallModel, Calls, ModelTurn

__all__ = ["with_first_reads"]

_MOST_S = 30.0
"""For all reads of one answer: a longer wait is better seen as an activity of its own."""
_LOG = logging.getLogger("activities")


async def with_first_reads(
    engine: Engine, gate: Gate, request: CallModel, turn: ModelTurn, *, within_s: float
) -> ModelTurn:
    """The turn with the first visits of its short reads, in their order; on disk, as the answer itself.

    `within_s`: what is left of the activity's time. A read that might not end in it is not begun.
    """
    if not isinstance(turn.control, Calls):
        return turn
    agent = await engine.definition(request.tenant, request.definition)
    tools = {tool.name: tool for tool in agent.tools}
    until_s = time.monotonic() + min(_MOST_S, within_s)
    visits: list[CallResult] = []
    if not any(tools[call.tool].is_short_read for call in turn.control.calls):
        return turn
    for index, call in enumerate(turn.control.calls):
        tool = tools[call.tool]
        if not tool.is_short_read:
            continue
        if time.monotonic() + tool.longest_s > until_s:
            break
        visit = ExecuteTool(
            tenant=request.tenant,
            run_id=request.run_id,
            definition=request.definition,
            step=request.step,
            call=index,
            visit=1,
            tool=call.tool,
            arguments_digest=call.arguments_digest,
        )
        try:
            visits.append(await gate.execute(visit))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run meets it in its own visit and deals with it
            _LOG.warning("step %s call %s is left to the run: %s", request.step, index, error)
            break
    if not visits:
        await engine.db.flush()  # a visit's end waits for the disk; here none did
        return turn
    return turn.model_copy(update={"visits": tuple(visits)})
