"""The line to a run: send a signed vote or command, ask what the run says. A run that is gone is an answer too."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from pydantic import Field
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError, RPCStatusCode

from approvals.emergencies import start_timer
from contracts.base import Record
from contracts.command import (
    CommandAccepted,
    CommandAnswer,
    CommandPending,
    CommandRefusal,
    CommandRefused,
    SignedCommand,
)
from contracts.emergency import WatchEmergency
from contracts.vote import SignedVote, VoteAccepted, VoteAnswer, VotePending, VoteRefusal, VoteRefused
from settings import SettingsError

__all__ = ["QUERY", "SIGNAL", "CommandReply", "NoAnswer", "RunAnswer", "RunLine"]

SIGNAL = "vote"
QUERY = "vote_answer"
COMMAND_SIGNAL = "command"
COMMAND_QUERY = "command_answer"
_START_S = 5.0
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.3)


class NoAnswer(Record):
    """The run could not be asked, or has not looked at the vote yet: it will be sent again."""

    kind: Literal["no_answer"] = "no_answer"
    why: str = Field(max_length=500)


RunAnswer = VoteAccepted | VoteRefused | NoAnswer
CommandReply = CommandAccepted | CommandRefused | NoAnswer
AnswerT = TypeVar("AnswerT")


class RunLine:
    """Talks to runs through Temporal, connecting when it is first needed and again after a failure."""

    def __init__(self, connect: Callable[[], Awaitable[Client]], *, task_queue: str = "countersign") -> None:
        self._connect = connect
        self._task_queue = task_queue
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def deliver(self, run_id: str, decision_id: str, signed: SignedVote, *, within_s: float) -> RunAnswer:
        """Send the vote and wait for the run's answer, at most `within_s`. Again is harmless."""

        async def look(handle: WorkflowHandle[Any, Any]) -> VoteAccepted | VoteRefused | None:
            answer: VoteAnswer = await handle.query(QUERY, decision_id, result_type=VoteAnswer)  # pyright: ignore[reportArgumentType] - an annotated union is a type to pydantic's converter
            return None if isinstance(answer, VotePending) else answer

        over = VoteRefused(refusal=VoteRefusal.REQUEST_CLOSED)
        return await self._send(run_id, SIGNAL, signed, look, over, within_s=within_s)

    async def watch_emergency(self, request: WatchEmergency) -> None:
        """Start the timer of an emergency. Raises what Temporal raises: then it must not be opened."""
        async with asyncio.timeout(_START_S):
            await start_timer(await self._connected(), self._task_queue, request)

    async def command(self, run_id: str, command_id: str, signed: SignedCommand, *, within_s: float) -> CommandReply:
        """The same for an operator's command."""

        async def look(handle: WorkflowHandle[Any, Any]) -> CommandAccepted | CommandRefused | None:
            answer: CommandAnswer = await handle.query(COMMAND_QUERY, command_id, result_type=CommandAnswer)  # pyright: ignore[reportArgumentType] - an annotated union is a type to pydantic's converter
            return None if isinstance(answer, CommandPending) else answer

        over = CommandRefused(refusal=CommandRefusal.ENDING)
        return await self._send(run_id, COMMAND_SIGNAL, signed, look, over, within_s=within_s)

    async def _send(
        self,
        run_id: str,
        signal: str,
        signed: SignedVote | SignedCommand,
        look: Callable[[WorkflowHandle[Any, Any]], Awaitable[AnswerT | None]],
        over: AnswerT,
        *,
        within_s: float,
    ) -> AnswerT | NoAnswer:
        try:
            async with asyncio.timeout(within_s):
                handle = (await self._connected()).get_workflow_handle(run_id)
                is_running = await _signal(handle, signal, signed)
                return await _ask(handle, look, over, is_running=is_running)
        except TimeoutError:
            return NoAnswer(why="the run has not answered in time")
        except SettingsError as error:
            return NoAnswer(why=str(error)[:500])
        except RPCError as error:
            return NoAnswer(why=f"Temporal: {error.status.name}"[:500])

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
            return self._client


async def _signal(handle: WorkflowHandle[Any, Any], signal: str, signed: SignedVote | SignedCommand) -> bool:
    try:
        await handle.signal(signal, signed)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and "namespace" not in str(error).lower():
            return False
        raise
    return True


async def _ask(
    handle: WorkflowHandle[Any, Any],
    look: Callable[[WorkflowHandle[Any, Any]], Awaitable[AnswerT | None]],
    over: AnswerT,
    *,
    is_running: bool,
) -> AnswerT | NoAnswer:
    """Ask until the run has looked. A run that ended may have counted it before, so it is asked too."""
    pauses = iter(_PAUSES_S)
    while True:
        try:
            answer = await look(handle)
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
            return NoAnswer(why=f"the run cannot be asked: {type(error).__name__}")
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and not is_running:
                return over
            raise
        if answer is not None:
            return answer
        if not is_running:
            return over
        await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
