"""Operators' commands and the pauses of a run. The run alone decides which commands it obeys, and none unsigned."""

from collections.abc import Callable, Mapping

from temporalio import workflow

from contracts.command import (
    Command,
    CommandAnswer,
    CommandPending,
    CommandRefusal,
    CommandRefused,
    EndRun,
    HandOver,
    Pause,
    ResolveUnknown,
    Resume,
    SignedCommand,
)
from contracts.event import Carried, RunRequest
from contracts.outcome import Outcome, OutcomeReason
from contracts.pause import NOTE_ORDER, PAUSE_RUN, NoteOrder, OpenPause, PauseRun, Who
from contracts.run_activities import Pinned
from policy.commands import RunSituation, judge_command, read_command
from workflows import stubs
from workflows.endings import End

__all__ = ["Halts"]

MAX_COMMANDS = 200
MAX_REFUSALS_KEPT = 100
MAX_EARLY_COMMANDS = 20
MAX_FREE = 20
"""How often in a row the gate may say halted and the store that nothing halts: more is a fault."""


class Halts:
    """What stops a run: its operators' commands, kill switches, its agent being disabled."""

    def __init__(self, request: RunRequest) -> None:
        carried = request.carried
        self._request = request
        self._pinned: Pinned | None = None
        self._keys: Mapping[str, str] = {}
        self._answers: dict[str, CommandAnswer] = dict(carried.commands) if carried else {}
        self._early: list[SignedCommand] = []
        self._count = carried.pauses if carried else 0
        self._open: OpenPause | None = carried.pause if carried else None
        self._halted = self._open is not None and self._open.cause == "halted"
        self._operator: Who | None = carried.paused_by if carried else None
        self._released: Who | None = None
        self._free = 0
        self._ending: Command | None = None
        self._closing = False
        self._doubts: dict[tuple[int, int], bool] = {}
        self._waiting = 0
        self._waiting_since = 0.0
        self._waited_s = 0.0
        self._stop: Callable[[], object] = lambda: None
        self.may_restart: Callable[[], bool] = lambda: True
        """Whether the step under way could be done over from its journal by another execution of the run."""
        self.restart: Callable[[], None] = lambda: None
        """Continues as new. Set by the run."""
        self.refused = carried.refused_commands if carried else 0
        self.refusals: list[str] = []

    @property
    def pause(self) -> OpenPause | None:
        """The pause that the run is in."""
        return self._open

    @property
    def waited_s(self) -> float:
        """Time spent paused in this execution, in seconds."""
        return self._waited_s + (workflow.now().timestamp() - self._waiting_since if self._waiting else 0)

    @property
    def end(self) -> End | None:
        """How an operator ended the run, if one did."""
        if self._ending is None:
            return None
        detail = f"command {self._ending.command_id}"
        if isinstance(self._ending.order, HandOver):
            return End(Outcome.ESCALATED, OutcomeReason.HANDED_OVER, detail)
        return End(Outcome.CANCELLED, OutcomeReason.REQUESTED, detail)

    def admit(self, pinned: Pinned) -> None:
        """From now on commands of the pinned keys count; those that came early are judged now."""
        self._pinned = pinned
        self._keys = pinned.agent.vote_keys
        early, self._early = self._early, []
        for signed in early:
            self.receive(signed, workflow.now().timestamp())

    def stop_with(self, stop: Callable[[], object]) -> None:
        """What interrupts the work when an operator ends the run."""
        self._stop = stop

    def close(self) -> None:
        """The run is ending: no command is obeyed any more."""
        self._closing = True

    def carry(self, carried: Carried) -> Carried:
        """What another execution of the run must know."""
        newest = dict(list(self._answers.items())[-MAX_COMMANDS:])
        return carried.model_copy(
            update={
                "commands": newest,
                "refused_commands": self.refused,
                "pauses": self._count,
                "pause": self._open,
                "paused_by": self._operator,
            }
        )

    def receive(self, signed: SignedCommand, now_s: float) -> None:
        """Take a signal. Forged, late, repeated or misdirected ones change nothing but the count of refusals."""
        if self._pinned is None:
            if len(self._early) < MAX_EARLY_COMMANDS:
                self._early.append(signed)
            return
        command = read_command(signed, self._keys)
        if not isinstance(command, Command):
            self._refuse(None, command)
            return
        if command.command_id in self._answers:
            return
        answer = judge_command(
            command,
            run_id=self._request.run_id,
            tenant=self._request.tenant,
            situation=RunSituation(
                paused_by_operator=self._operator is not None,
                pause=self._open.number if self._open else None,
                halted=self._halted,
                ending=self._closing or self._ending is not None,
                in_doubt=frozenset(self._doubts),
            ),
            now_s=now_s,
        )
        if isinstance(answer, CommandRefused):
            self._refuse(command, answer.refusal)
        elif len(self._answers) < MAX_COMMANDS * 20:
            self._answers[command.command_id] = answer
            self._obey(command)

    def answer(self, command_id: str) -> CommandAnswer:
        """What became of a command."""
        return self._answers.get(command_id, CommandPending())

    async def clear(self, step: int) -> None:
        """Return as soon as nothing holds the run: to be awaited before anything new is started."""
        while self._open is not None or self._operator is not None:
            pause = self._open or self._next("operator", by=self._operator)
            await self._wait(step, pause)

    async def halted(self, step: int, tool: str, detail: str) -> End | None:
        """The gate stopped something: wait until nothing halts the run any more. An end, when that makes no sense."""
        if self._open is not None:
            await self.clear(step)
            return None
        self._halted = True
        if await self._wait(step, self._next("halted", tool=tool, detail=detail[:300])):
            self._free = 0
            return None
        self._free += 1
        if self._free > MAX_FREE:
            return End(Outcome.ESCALATED, OutcomeReason.HALTED, detail[:300])
        return None

    async def doubt(self, step: int, call: int, seconds: float) -> None:
        """Wait before a write in doubt is looked at again; a person who closed the doubt ends the wait."""
        place = (step, call)
        self._doubts[place] = False
        try:
            await workflow.wait_condition(lambda: self._doubts[place], timeout=seconds)
        except TimeoutError:
            return
        finally:
            del self._doubts[place]

    async def note_end(self, step: int) -> None:
        """Write down whose command ended the run."""
        if self._ending is not None:
            order = "hand_over" if isinstance(self._ending.order, HandOver) else "end"
            await self._note(step, order, self._open, _who(self._ending))

    def _next(self, cause: str, *, tool: str = "", detail: str = "", by: Who | None = None) -> OpenPause:
        self._count += 1
        self._released = None  # a resume that came before this pause has nothing to do with it
        return OpenPause.model_validate(
            {"number": self._count, "cause": cause, "tool": tool, "detail": detail, "by": by}
        )

    async def _wait(self, step: int, pause: OpenPause) -> bool:
        """Be in a pause until it is over. False when it was over before it began."""
        leads = self._open is None or self._waiting == 0
        self._open = pause
        self._waiting_since = self._waiting_since if self._waiting else workflow.now().timestamp()
        self._waiting += 1
        # No `finally`: only the run's end breaks this off, and a worker that stops collects it outside of its loop.
        if leads:
            was_paused = await self._hold(step, pause)
        else:
            was_paused = True
            await workflow.wait_condition(lambda: self._open is None)
        self._waiting -= 1
        if not self._waiting:
            self._waited_s += workflow.now().timestamp() - self._waiting_since
        return was_paused

    async def _hold(self, step: int, pause: OpenPause) -> bool:
        pinned = self._pinned
        assert pinned is not None  # noqa: S101 - nothing is held before it is pinned
        kept = await stubs.short(
            PAUSE_RUN,
            PauseRun(
                tenant=self._request.tenant,
                run_id=self._request.run_id,
                definition=pinned.definition,
                step=step,
                pause=pause,
            ),
            activity_id=f"pause{pause.number}",
            wait_s=self._request.store_wait_s,
            summary=f"step {step}: paused, {pause.cause}",
        )
        if kept.state != "paused":
            self._halted = self._halted and pause.cause != "halted"
            self._open = None
            return False
        holds = self._holds_operator if pause.cause == "operator" else self._holds_halt
        while holds():
            await workflow.wait_condition(lambda: not holds() or self._must_restart())
            if holds():
                self.restart()
        self._open, released = None, self._released
        self._released = None
        if released is not None:
            await self._note(step, "resume", pause, released)
        return True

    def _holds_operator(self) -> bool:
        return self._operator is not None

    def _holds_halt(self) -> bool:
        return self._halted

    def _must_restart(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() and self.may_restart()

    async def _note(self, step: int, order: str, pause: OpenPause | None, by: Who) -> None:
        pinned = self._pinned
        assert pinned is not None  # noqa: S101 - commands are judged after it is pinned
        note = {
            "tenant": self._request.tenant,
            "run_id": self._request.run_id,
            "definition": pinned.definition,
            "step": step,
            "order": order,
            "pause": pause.number if pause else None,
            "by": by,
        }
        await stubs.short(
            NOTE_ORDER,
            NoteOrder.model_validate(note),
            activity_id=f"order-{by.command_id}",
            wait_s=self._request.store_wait_s,
            summary=f"step {step}: {order.replace('_', ' ')}",
        )

    def _obey(self, command: Command) -> None:
        match command.order:
            case Pause():
                self._operator = _who(command)
            case Resume(because="released"):
                self._halted, self._released = False, _who(command)
            case Resume():
                self._halted, self._operator, self._released = False, None, _who(command)
            case EndRun() | HandOver():
                self._ending = command
                self._stop()
            case ResolveUnknown(step=step, call=call):
                self._doubts[step, call] = True

    def _refuse(self, command: Command | None, refusal: CommandRefusal) -> None:
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS_KEPT:
            self.refusals.append(refusal.value)
        if command is not None and len(self._answers) < MAX_COMMANDS * 20:
            self._answers[command.command_id] = CommandRefused(refusal=refusal)


def _who(command: Command) -> Who:
    return Who(command_id=command.command_id, person=command.person, reason=command.reason)
