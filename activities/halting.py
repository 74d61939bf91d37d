"""Pauses of a run and the orders that it obeyed, written down for people and audit."""

from typing import Literal, cast

from activities.engine import Engine
from contracts.pause import NoteOrder, OrderNoted, OrderObeyed, PauseKept, PauseRun, RunPaused
from store.pauses import keep_pause
from store.pauses import note_order as store_note_order

__all__ = ["note_order", "pause_run"]


async def pause_run(engine: Engine, request: PauseRun) -> PauseKept:
    """Keep a pause; again, say whether it is over. What halted the run may hold no more: then there is none."""
    agent = await engine.definition(request.tenant, request.definition)
    entry = RunPaused(step=request.step, pause=request.pause)
    state = await keep_pause(engine.db, request, agent.name, entry.model_dump_json())
    return PauseKept(step=request.step, pause=request.pause, state=cast('Literal["paused", "free", "over"]', state))


async def note_order(engine: Engine, request: NoteOrder) -> OrderNoted:
    """Note an order that was obeyed; again, nothing more is written."""
    entry = OrderObeyed(step=request.step, order=request.order, pause=request.pause, by=request.by)
    state = await store_note_order(engine.db, request, entry.model_dump_json())
    return OrderNoted(
        step=request.step,
        order=request.order,
        pause=request.pause,
        by=request.by,
        state=cast('Literal["noted", "stored"]', state),
    )
