"""Resends commands that a run has not answered, and resumes halted runs that nothing holds any more."""

import asyncio
import logging
import time
from datetime import timedelta

from approvals.operate import free_run
from approvals.poller import Poller
from approvals.run_line import NoAnswer, RunLine
from approvals.signing import VoteSigner
from contracts.command import SignedCommand
from settings.logs import begin
from store.commands import StoredCommand, claim_commands, note_command_failure, record_command_answer
from store.database import Database
from store.pauses import freed_pauses

__all__ = ["CommandDispatcher"]

BATCH = 50
ANSWER_WITHIN_S = 5.0
FIRST_WAIT = timedelta(seconds=6)
LONGEST_WAIT = timedelta(minutes=1)
_LOG = logging.getLogger("approvals")


class CommandDispatcher(Poller):
    """The second background task of the approvals process. `dispatch` is of the role that sees every tenant."""

    what = "commands"
    batch = BATCH

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
        super().__init__(poll_s)
        self._database = database
        self._dispatch = dispatch
        self._runs = runs
        self._signer = signer
        self._first_wait = first_wait

    async def round(self) -> int:
        """Resend what has no answer, and resume what nothing holds."""
        return await self._resend() + await self._free()

    async def _resend(self) -> int:
        """Send the commands that are due; how many there were."""
        async with self._dispatch.everywhere() as cursor:
            due = await claim_commands(cursor, limit=BATCH, first_wait=self._first_wait, longest_wait=LONGEST_WAIT)
        await asyncio.gather(*(self._deliver(command) for command in due))
        return len(due)

    async def _free(self) -> int:
        """Resume halted runs whose switch was released or whose agent was enabled; how many there were."""
        freed = await freed_pauses(self._dispatch, BATCH)
        now_s = int(time.time())
        told = await asyncio.gather(*(free_run(self._database, self._runs, self._signer, one, now_s) for one in freed))
        return sum(told)

    async def _deliver(self, command: StoredCommand) -> None:
        begin(tenant=command.tenant, run=command.run_id)
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
