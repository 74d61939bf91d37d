"""The two sides of the comparison: how a job of each is started and awaited."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Protocol

from temporalio.client import WorkflowHandle

from benchmarks.bare import BareJob, BareRun
from benchmarks.kept import Kept, history_bytes, kept_by_run
from benchmarks.stack import AGENT, TENANT, BenchStack
from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent, EventOrigin, RunRequest
from contracts.outcome import Outcome, RunReport
from store.inbox import Arrival, accept
from workflows.agent_run import AgentRun

__all__ = ["Bare", "JobFailedError", "Ours", "Side", "run_batch"]

_ENDPOINT = "bench"
JOB_LIMIT_S = 300.0


class JobFailedError(Exception):
    """A job did not do its work: there is nothing to measure."""


class Side(Protocol):
    """One way of doing the same jobs."""

    name: str
    worker: str
    """Component whose process works on its jobs."""

    async def prepare(self, rounds: int) -> str:
        """Everything that lies before a job's start; returns its id."""
        ...

    async def run(self, job_id: str) -> None:
        """Start a prepared job and wait for its end.

        Raises:
            JobFailedError: it ended otherwise than it should.
        """
        ...

    async def kept(self, job_id: str) -> Kept:
        """What a finished job left behind."""
        ...


@dataclass
class Ours:
    """`AgentRun` with the scripted model. Its event is accepted before the clock starts: the bare side has none."""

    stack: BenchStack
    name: str = "AgentRun"
    worker: str = "worker"
    _requests: dict[str, tuple[RunRequest, int]] = field(default_factory=dict[str, tuple[RunRequest, int]])

    async def prepare(self, rounds: int) -> str:
        """See `Side`."""
        book = uuid.uuid4().hex
        event = AcceptedEvent(
            id=book,
            source="/bench",
            type="bench.book",
            data={"book": book, "rounds": rounds},
            trusted=("book", "rounds"),
        )
        run_id = run_id_for(TENANT, _ENDPOINT, event.key)
        await accept(
            self.stack.database,
            Arrival(tenant=TENANT, endpoint=_ENDPOINT, event=event, agent=AGENT, run_id=run_id, on_behalf_of=None),
        )
        origin = EventOrigin(endpoint=_ENDPOINT, event_id=event.key, body_digest=event.body_digest)
        self._requests[run_id] = (RunRequest(tenant=TENANT, run_id=run_id, agent=AGENT, origin=origin), rounds)
        return run_id

    async def run(self, job_id: str) -> None:
        """See `Side`."""
        request, rounds = self._requests.pop(job_id)
        handle: WorkflowHandle[AgentRun, RunReport] = await self.stack.client.start_workflow(
            AgentRun.run, request, id=job_id, task_queue=self.stack.queue
        )
        report = await handle.result()
        if report.outcome is not Outcome.COMPLETED or report.totals.tool_calls != rounds:
            raise JobFailedError(
                f"run {job_id} ended as {report.outcome}, {report.reason}, after {report.totals.tool_calls} of "
                f"{rounds} rounds. Look at benchmarks/agents/bench_agent."
            )

    async def kept(self, job_id: str) -> Kept:
        """See `Side`."""
        return await kept_by_run(self.stack.client, self.stack.owner_url, job_id)


@dataclass
class Bare:
    """The bare workflow."""

    stack: BenchStack
    name: str = "bare"
    worker: str = "bare"
    _rounds: dict[str, int] = field(default_factory=dict[str, int])
    _message_characters: dict[str, int] = field(default_factory=dict[str, int])

    async def prepare(self, rounds: int) -> str:
        """See `Side`."""
        job_id = f"bare-{uuid.uuid4().hex}"
        self._rounds[job_id] = rounds
        return job_id

    async def run(self, job_id: str) -> None:
        """See `Side`."""
        job = BareJob(job_id, self._rounds.pop(job_id))
        handle = await self.stack.plain_client.start_workflow(
            BareRun.run, job, id=job_id, task_queue=self.stack.bare_queue
        )
        self._message_characters[job_id] = await handle.result()

    async def kept(self, job_id: str) -> Kept:
        """See `Side`."""
        history, events = await history_bytes(self.stack.plain_client, job_id)
        return Kept(history=history, events=events, message_text=self._message_characters.pop(job_id))


async def run_batch(side: Side, jobs: list[str], concurrency: int) -> list[float]:
    """Run prepared jobs, at most so many at a time; seconds of each from start to result."""
    slots = asyncio.Semaphore(concurrency)

    async def one(job_id: str) -> float:
        async with slots:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(JOB_LIMIT_S):
                    await side.run(job_id)
            except TimeoutError as error:
                raise JobFailedError(f"{job_id} of {side.name} did not end within {JOB_LIMIT_S:g} s") from error
            return time.perf_counter() - began

    return await asyncio.gather(*(one(job_id) for job_id in jobs))
