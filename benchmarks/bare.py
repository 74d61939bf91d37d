"""The other side: what somebody writes who wants the same loop on Temporal and nothing of ours.

Two regular activities a round, references as inputs, results of the same size as ours; the activities do nothing else.
Run as a process: `python -m benchmarks.bare ADDRESS TASK_QUEUE`.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from benchmarks.pages import MODEL_CHARACTERS, PAGE_CHARACTERS, WRITE_CHARACTERS, is_write, reply_text

__all__ = ["BareJob", "BareRun", "bare_worker"]

_TIMEOUT = timedelta(seconds=60)
_MAX_ACTIVITIES = 100
_MAX_CACHED_WORKFLOWS = 1_000


@dataclass
class BareJob:
    """Input of the workflow."""

    job_id: str
    rounds: int
    """Rounds of one model call and one tool call."""


@dataclass
class Reference:
    """Input of an activity: where the content is, not the content."""

    job_id: str
    round_number: int


@dataclass
class Answer:
    """Result of an activity."""

    text: str


@activity.defn
async def bare_model(reference: Reference) -> Answer:
    """As large as the scripted model's message."""
    return Answer(reply_text(reference.round_number, MODEL_CHARACTERS))


@activity.defn
async def bare_tool(reference: Reference) -> Answer:
    """As large as a page, or as what a write returns."""
    size = WRITE_CHARACTERS if is_write(reference.round_number) else PAGE_CHARACTERS
    return Answer(reply_text(reference.round_number, size))


@workflow.defn
class BareRun:
    """The loop."""

    @workflow.run
    async def run(self, job: BareJob) -> int:
        """Go round; returns how many characters came back."""
        characters = 0
        for round_number in range(1, job.rounds + 1):
            reference = Reference(job.job_id, round_number)
            for step in (bare_model, bare_tool):
                answer = await workflow.execute_activity(step, reference, start_to_close_timeout=_TIMEOUT)
                characters += len(answer.text)
        return characters


def bare_worker(client: Client, task_queue: str) -> Worker:
    """A worker with the limits of ours."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[BareRun],
        activities=[bare_model, bare_tool],
        max_concurrent_activities=_MAX_ACTIVITIES,
        max_cached_workflows=_MAX_CACHED_WORKFLOWS,
    )


async def _serve(address: str, task_queue: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = await Client.connect(address)
    async with bare_worker(client, task_queue):
        await stopping.wait()


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
    os._exit(0)  # temporalio can abort at interpreter exit
