"""Resends votes that a run has not answered, until it does. Several processes may do so side by side."""

import asyncio
import logging
from datetime import timedelta

from approvals.poller import Poller
from approvals.run_line import NoAnswer, RunLine
from contracts.vote import SignedVote
from settings.logs import begin
from store.database import Database
from store.votes import StoredVote, claim_pending, note_failure, record_answer

__all__ = ["Dispatcher"]

BATCH = 20
ANSWER_WITHIN_S = 5.0
FIRST_WAIT = timedelta(seconds=6)
"""Longer than one delivery may take, so that a claimed vote is not claimed again meanwhile."""
LONGEST_WAIT = timedelta(minutes=1)
_LOG = logging.getLogger("approvals")


class Dispatcher(Poller):
    """The background task of the approvals process. `database` is of the dispatch role, which sees every tenant."""

    what = "votes"
    batch = BATCH

    def __init__(
        self,
        database: Database,
        runs: RunLine,
        *,
        poll_s: float = 1.0,
        first_wait: timedelta = FIRST_WAIT,
        longest_wait: timedelta = LONGEST_WAIT,
    ) -> None:
        super().__init__(poll_s)
        self._database = database
        self._runs = runs
        self._first_wait = first_wait
        self._longest_wait = longest_wait

    async def round(self) -> int:
        """Send the votes that are due; how many there were."""
        async with self._database.everywhere() as cursor:
            votes = await claim_pending(
                cursor, limit=BATCH, first_wait=self._first_wait, longest_wait=self._longest_wait
            )
        await asyncio.gather(*(self._deliver(vote) for vote in votes))
        return len(votes)

    async def _deliver(self, vote: StoredVote) -> None:
        begin(tenant=vote.tenant, run=vote.run_id, approval=vote.request_id)
        signed = SignedVote(jws=vote.jws)
        answer = await self._runs.deliver(vote.run_id, vote.decision_id, signed, within_s=ANSWER_WITHIN_S)
        async with self._database.everywhere() as cursor:
            if isinstance(answer, NoAnswer):
                _LOG.warning("vote %s waits, attempt %d: %s", vote.decision_id, vote.attempts, answer.why)
                await note_failure(cursor, tenant=vote.tenant, decision_id=vote.decision_id, error=answer.why)
            else:
                await record_answer(cursor, tenant=vote.tenant, decision_id=vote.decision_id, answer=answer)
