"""The activities of a run, as a worker registers them: names and types are those of `contracts.run_activities`."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.approvals import open_approval
from activities.call_model import ModelCaller
from activities.checks import run_check
from activities.close_run import close_run
from activities.engine import Engine, store_down
from activities.gate import Gate
from activities.halting import note_order, pause_run
from activities.heartbeats import beating
from activities.notify import send_notices
from activities.pin_agent import pin_agent
from activities.run_limits import note_run, open_raise, settle_raise
from activities.settling import settle_approval
from activities.turns import Turns
from activities.undo import propose_undo
from contracts.call import CallResult, ExecuteTool
from contracts.check import CheckResult, RunCheck
from contracts.event import RunRequest
from contracts.limits import (
    NOTE_RUN,
    OPEN_RAISE,
    SETTLE_RAISE,
    Noted,
    NoteRun,
    OpenRaise,
    RaiseOpened,
    RaiseSettled,
    SettleRaise,
)
from contracts.notice import NoticesSent, SendNotices
from contracts.outcome import RunReport
from contracts.pause import NOTE_ORDER, PAUSE_RUN, NoteOrder, OrderNoted, PauseKept, PauseRun
from contracts.run_activities import (
    CALL_MODEL,
    CLOSE_RUN,
    ENGINE_FAULT,
    EXECUTE_TOOL,
    OPEN_APPROVAL,
    PIN_AGENT,
    RUN_CHECK,
    SEND_NOTICES,
    SETTLE_APPROVAL,
    ApprovalOpened,
    ApprovalSettled,
    CloseRun,
    OpenApproval,
    Pinned,
    SettleApproval,
)
from contracts.turn import CallModel, ModelTurn
from contracts.undo import PROPOSE_UNDO
from store.database import StoreDown

__all__ = ["RunActivities"]

P = ParamSpec("P")
R = TypeVar("R")


def _bounded(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Faults as the run knows them, and an end to their retries.

    A store that cannot be reached becomes the one error that a run waits for, as long as its patience lasts. The SDK
    starts a local activity again after its schedule-to-close timeout (seen with temporalio 1.35), so that one which
    always fails would hold its run for ever: its last failure is therefore final.
    """

    @wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except StoreDown as error:
            raise store_down(error, last=_patience_is_over()) from error
        except ApplicationError as error:
            if error.non_retryable or not (activity.info().is_local and _patience_is_over()):
                raise
            raise ApplicationError(error.message, type=error.type, non_retryable=True) from error
        except Exception as error:
            if not (activity.info().is_local and _patience_is_over()):
                raise
            raise ApplicationError(type(error).__name__, type=ENGINE_FAULT, non_retryable=True) from error

    return guarded


def _patience_is_over() -> bool:
    """Whether this activity has been tried for as long as its stub waits beyond the time of one attempt."""
    info = activity.info()
    whole, attempt = info.schedule_to_close_timeout, info.start_to_close_timeout
    return whole is not None and attempt is not None and datetime.now(UTC) - info.scheduled_time >= whole - attempt


def _time_left_s(began_s: float) -> float:
    """What is left of this attempt's time. `began_s`: when it began, by the monotonic clock.

    The moments that Temporal tells are compared with each other alone: this machine's clock may be wrong.
    """
    info = activity.info()
    left = [info.start_to_close_timeout]
    if info.schedule_to_close_timeout is not None:
        left.append(info.schedule_to_close_timeout - (info.started_time - info.scheduled_time))
    return min((one.total_seconds() for one in left if one is not None), default=0) - (time.monotonic() - began_s)


class RunActivities:
    """All I/O on behalf of a run."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gate = Gate(engine)
        self._turns = Turns(engine, self._gate, ModelCaller(engine, self._gate))

    def all(self) -> Sequence[Callable[..., object]]:
        """What a worker registers."""
        return [
            self.pin_agent,
            self.call_model,
            self.execute_tool,
            self.run_check,
            self.open_approval,
            self.settle_approval,
            self.close_run,
            self.pause_run,
            self.note_order,
            self.note_run,
            self.send_notices,
            self.open_raise,
            self.settle_raise,
            self.propose_undo,
        ]

    @activity.defn(name=PIN_AGENT.name)
    @_bounded
    async def pin_agent(self, request: RunRequest) -> Pinned:
        """See `activities.pin_agent`."""
        return await pin_agent(self._engine, request)

    @activity.defn(name=CALL_MODEL.name)
    @_bounded
    async def call_model(self, request: CallModel) -> ModelTurn:
        """See `activities.call_model`."""
        began_s = time.monotonic()
        async with beating("calling the model"):
            return await self._turns.take(request, lambda: _time_left_s(began_s))

    @activity.defn(name=EXECUTE_TOOL.name)
    @_bounded
    async def execute_tool(self, request: ExecuteTool) -> CallResult:
        """See `activities.gate`."""
        async with beating(f"running {request.tool}"):
            return await self._gate.execute(request)

    @activity.defn(name=RUN_CHECK.name)
    @_bounded
    async def run_check(self, request: RunCheck) -> CheckResult:
        """See `activities.checks`."""
        async with beating(f"checking {request.tool}"):
            return await run_check(self._engine, request)

    @activity.defn(name=OPEN_APPROVAL.name)
    @_bounded
    async def open_approval(self, request: OpenApproval) -> ApprovalOpened:
        """See `activities.approvals`."""
        async with beating("opening an approval"):
            return await open_approval(self._engine, request)

    @activity.defn(name=SETTLE_APPROVAL.name)
    @_bounded
    async def settle_approval(self, request: SettleApproval) -> ApprovalSettled:
        """See `activities.approvals`."""
        return await settle_approval(self._engine, request)

    @activity.defn(name=SEND_NOTICES.name)
    @_bounded
    async def send_notices(self, request: SendNotices) -> NoticesSent:
        """See `activities.notify`."""
        return await send_notices(self._engine.notifier, self._engine.db, request)

    @activity.defn(name=CLOSE_RUN.name)
    @_bounded
    async def close_run(self, request: CloseRun) -> RunReport:
        """See `activities.close_run`."""
        return await close_run(self._engine, request)

    @activity.defn(name=PAUSE_RUN.name)
    @_bounded
    async def pause_run(self, request: PauseRun) -> PauseKept:
        """See `activities.halting`."""
        return await pause_run(self._engine, request)

    @activity.defn(name=NOTE_ORDER.name)
    @_bounded
    async def note_order(self, request: NoteOrder) -> OrderNoted:
        """See `activities.halting`."""
        return await note_order(self._engine, request)

    @activity.defn(name=NOTE_RUN.name)
    @_bounded
    async def note_run(self, request: NoteRun) -> Noted:
        """See `activities.run_limits`."""
        return await note_run(self._engine, request)

    @activity.defn(name=OPEN_RAISE.name)
    @_bounded
    async def open_raise(self, request: OpenRaise) -> RaiseOpened:
        """See `activities.run_limits`."""
        async with beating("asking for a raise"):
            return await open_raise(self._engine, request)

    @activity.defn(name=SETTLE_RAISE.name)
    @_bounded
    async def settle_raise(self, request: SettleRaise) -> RaiseSettled:
        """See `activities.run_limits`."""
        return await settle_raise(self._engine, request)

    @activity.defn(name=PROPOSE_UNDO.name)
    @_bounded
    async def propose_undo(self, request: CallModel) -> ModelTurn:
        """See `activities.undo`."""
        async with beating("planning"):
            return await propose_undo(self._engine, request)
