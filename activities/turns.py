"""The turns of a model that one activity takes: a step, and those after it while nothing but short reads is asked.

Each is as if alone: reserved, settled, its calls through the gate, journaled. So a repetition of the activity finds
what was done, kill switch and limits hold between two steps, and what is not taken here is left to the run.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from activities.engine import Engine
from activities.first_reads import with_first_reads
from activities.gate import Gate
from contracts.call import CallStatus
from contracts.turn import CallModel, Calls, Halted, LimitMet, ModelTurn

__all__ = ["AsksModel", "Turns"]

_MOST_CHARACTERS = 256 * 1024
"""Of all turns but the last: Temporal takes 2 MB, and a history is read by people."""
_LOG = logging.getLogger("activities")


class AsksModel(Protocol):
    """What calls the model of one step."""

    async def call(self, request: CallModel) -> ModelTurn:
        """See `activities.call_model`."""
        ...


class Turns:
    """Takes turns."""

    def __init__(self, engine: Engine, gate: Gate, models: AsksModel) -> None:
        self._engine = engine
        self._gate = gate
        self._models = models

    async def take(self, request: CallModel, time_left_s: Callable[[], float]) -> ModelTurn:
        """The step's turn, with those of the next steps that were taken with it.

        `time_left_s`: of the activity. No step is begun whose model call might not end in it.
        """
        try:
            first = await self._turn(request, time_left_s)
            return await self._with_next(request, first, time_left_s) if request.ahead else first
        except BaseException:
            # What was committed without waiting may be lost with the database, and then be done otherwise.
            self._gate.forget(request.tenant, request.run_id)
            raise

    async def _with_next(self, request: CallModel, first: ModelTurn, time_left_s: Callable[[], float]) -> ModelTurn:
        agent = await self._engine.definition(request.tenant, request.definition)
        longest_s = agent.models[request.role].timeout_s
        newest, then, known, size = first, list[ModelTurn](), set[str](), 0
        while len(then) < request.ahead and _told_news(newest, known) and time_left_s() >= longest_s:
            known |= _outputs(newest)
            size += len(newest.model_dump_json())
            if size > _MOST_CHARACTERS:
                break
            following = await self._following(request, len(then) + 1, time_left_s)
            if following is None:
                break
            then.append(newest := following)
        return first.model_copy(update={"then": tuple(then)}) if then else first

    async def _following(self, request: CallModel, after: int, time_left_s: Callable[[], float]) -> ModelTurn | None:
        """The turn so many steps later; None: the run takes it itself, and meets whatever stood against it here."""
        step = request.step + after
        try:
            turn = await self._turn(request.model_copy(update={"step": step}), time_left_s)
        except Exception as error:  # noqa: BLE001 - the run makes the same call and deals with it
            _LOG.info("step %s is left to the run: %s", step, error)
            self._gate.forget(request.tenant, request.run_id)
            return None
        return None if isinstance(turn.control, LimitMet | Halted) else turn

    async def _turn(self, request: CallModel, time_left_s: Callable[[], float]) -> ModelTurn:
        began_s = time.monotonic()
        turn = await self._models.call(request)
        turn = await with_first_reads(self._engine, self._gate, request, turn, within_s=time_left_s())
        took_ms = round((time.monotonic() - began_s) * 1000)
        return turn.model_copy(update={"took_ms": took_ms}) if request.ahead else turn


def _told_news(turn: ModelTurn, known: set[str]) -> bool:
    """Whether a turn asked for short reads alone, all of them ran, and one told what no turn before it did.

    A step that fails or tells nothing new may close a circle: the run judges it before the model is asked again.
    """
    if not isinstance(turn.control, Calls) or len(turn.visits) != len(turn.control.calls):
        return False
    return all(visit.control.status is CallStatus.RAN for visit in turn.visits) and not _outputs(turn) <= known


def _outputs(turn: ModelTurn) -> set[str]:
    return {visit.control.output_digest for visit in turn.visits}
