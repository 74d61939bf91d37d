"""Resends commands that a run has not answered, and resumes halted runs that nothing holds any more."""

import asyncio
import logging
import time
from datetime import timedelta

from approvals.operate import free_run
from approvals.run_line import NoAnswer, RunLine
from approvals.signing import VoteSigner
from contracts.command import SignedCommand
from store.commands import StoredCommand, claim_commands, note_command_failure, record_command_answer
from store.database import Database, StoreDown
from store.pauses import freed_pauses

__all__ = ["CommandDispatcher"]

BATCH = 50
ANSWER_WITHIN_S = 5.0
FIRST_WAIT = timedelta(seconds=6)
LONGEST_WAIT = timedelta(minutes=1)
_LOG = logging.getLogger("approvals")


class CommandDispatcher:
    """The second background task of the approvals process. `dispatch` is of the role that sees every tenant."""

    def __init__(
        self,
        database: Database,
        dispatch: Database,
        runs: RunLine,
        signer: VoteSigner,
        *,
        poll_s: float = 1.0,
        first_wait: timedelta = FIRST_WAIT,
    ) -> None:
        self._database = database
        self._dispatch = dispatch
        self._runs = runs
        self._signer = signer
        self._poll_s = poll_s
        self._first_wait = first_wait
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Dispatch until `stop`. A database that is down is waited for."""
        while not self._stopping.is_set():
            try:
                done = await self.resend() + await self.free()
            except StoreDown as error:
                _LOG.warning("commands wait for the database: %s", error)
                done = 0
            if done < BATCH:
                await self._pause()

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping.set()

    async def resend(self) -> int:
        """Send the commands that are due; how many there were."""
        async with self._dispatch.everywhere() as cursor:
            due = await claim_commands(cursor, limit=BATCH, first_wait=self._first_wait, longest_wait=LONGEST_WAIT)
        await asyncio.gather(*(self._deliver(command) for command in due))
        return len(due)

    async def free(self) -> int:
        """Resume halted runs whose switch was released or whose agent was enabled; how many there were."""
        freed = await freed_pauses(self._dispatch, BATCH)
        now_s = int(time.time())
        told = await asyncio.gather(*(free_run(self._database, self._runs, self._signer, one, now_s) for one in freed))
        return sum(told)

    async def _deliver(self, command: StoredCommand) -> None:
        signed = SignedCommand(jws=command.jws)
        answer = await self._runs.command(command.run_id, command.command_id, signed, within_s=ANSWER_WITHIN_S)
        async with self._dispatch.everywhere() as cursor:
            if isinstance(answer, NoAnswer):
                _LOG.warning("command %s waits, attempt %d: %s", command.command_id, command.attempts, answer.why)
                await note_command_failure(
                    cursor, tenant=command.tenant, command_id=command.command_id, error=answer.why
                )
            else:
                await record_command_answer(cursor, tenant=command.tenant, command_id=command.command_id, answer=answer)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._stopping.wait()
        except TimeoutError:
            return
