"""The line to a run: send a signed vote, ask what the run says to it. A run that is gone is an answer too."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import Field
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Record
from contracts.vote import SignedVote, VoteAccepted, VoteAnswer, VotePending, VoteRefusal, VoteRefused
from settings import SettingsError

__all__ = ["QUERY", "SIGNAL", "NoAnswer", "RunAnswer", "RunLine"]

SIGNAL = "vote"
QUERY = "vote_answer"
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.3)


class NoAnswer(Record):
    """The run could not be asked, or has not looked at the vote yet: it will be sent again."""

    kind: Literal["no_answer"] = "no_answer"
    why: str = Field(max_length=500)


RunAnswer = VoteAccepted | VoteRefused | NoAnswer


class RunLine:
    """Talks to runs through Temporal, connecting when it is first needed and again after a failure."""

    def __init__(self, connect: Callable[[], Awaitable[Client]]) -> None:
        self._connect = connect
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def deliver(self, run_id: str, decision_id: str, signed: SignedVote, *, within_s: float) -> RunAnswer:
        """Send the vote and wait for the run's answer, at most `within_s`. Again is harmless."""
        try:
            async with asyncio.timeout(within_s):
                handle = (await self._connected()).get_workflow_handle(run_id)
                is_running = await _signal(handle, signed)
                return await _ask(handle, decision_id, is_running=is_running)
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


async def _signal(handle: WorkflowHandle[Any, Any], signed: SignedVote) -> bool:
    try:
        await handle.signal(SIGNAL, signed)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and "namespace" not in str(error).lower():
            return False
        raise
    return True


async def _ask(handle: WorkflowHandle[Any, Any], decision_id: str, *, is_running: bool) -> RunAnswer:
    """Ask until the run has looked. A run that ended may have counted the vote before, so it is asked too."""
    pauses = iter(_PAUSES_S)
    while True:
        answer: VoteAnswer
        try:
            answer = await handle.query(QUERY, decision_id, result_type=VoteAnswer)  # pyright: ignore[reportArgumentType] - an annotated union is a type to pydantic's converter
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
            return NoAnswer(why=f"the run cannot be asked: {type(error).__name__}")
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and not is_running:
                return VoteRefused(refusal=VoteRefusal.REQUEST_CLOSED)
            raise
        if not isinstance(answer, VotePending):
            return answer
        if not is_running:
            return VoteRefused(refusal=VoteRefusal.REQUEST_CLOSED)
        await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
