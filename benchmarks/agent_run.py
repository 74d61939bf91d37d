"""What a run costs beside a bare workflow that does the same rounds, on the same servers, interleaved.

CPU is that of the worker process, the Temporal server and the whole process tree of Postgres (the postmaster counts the
backends that have ended). The driver, which starts and awaits the jobs of both sides alike, is not counted.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.cost import cpu_used
from benchmarks.figures import Comparison, Pair, Sample
from benchmarks.profile import profiled
from benchmarks.sides import Bare, JobFailedError, Ours, Side, run_batch
from benchmarks.stack import BenchStack, running_stack
from benchmarks.table import as_json, print_tables
from workers.embedded.errors import StackError

__all__ = ["Plan", "main", "measure"]

_SERVERS = ("temporal", "postgres")
_WARM_UP_ROUNDS = 5
_SETTLE_S = 0.5
"""The servers go on working a little after a result: what belongs to a batch is waited for, and counted."""


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: Sequence[int]
    repeats: int
    jobs: int
    """Jobs of a batch."""
    concurrency: int
    """Jobs of a batch at a time."""
    alone: int
    """Jobs that run one at a time, for the latency."""


async def measure(stack: BenchStack, plan: Plan, console: Console) -> list[Comparison]:
    """Measure both sides in turn, the first one changing from repeat to repeat.

    Raises:
        JobFailedError: a job did not do its work.
    """
    ours, bare = Ours(stack), Bare(stack)
    for side in (ours, bare):
        # Every connection of the pool parses each function once; a worker that has worked for a minute has done so.
        jobs = [await side.prepare(_WARM_UP_ROUNDS) for _ in range(3 * plan.concurrency)]
        await run_batch(side, jobs, plan.concurrency)
    pairs: dict[int, list[Pair]] = {rounds: [] for rounds in plan.rounds}
    for repeat in range(plan.repeats):
        for rounds in plan.rounds:
            order: tuple[Side, Side] = (ours, bare) if repeat % 2 == 0 else (bare, ours)
            samples = {side.name: await _sample(stack, side, rounds, plan) for side in order}
            pair = Pair(samples[ours.name], samples[bare.name])
            pairs[rounds].append(pair)
            ratio = pair.ours.cpu.total_s / pair.bare.cpu.total_s
            console.print(f"repeat {repeat + 1}, {rounds} rounds: CPU {ratio:.2f} of the bare workflow", style="dim")
    return [Comparison(rounds, tuple(found)) for rounds, found in pairs.items()]


async def _sample(stack: BenchStack, side: Side, rounds: int, plan: Plan) -> Sample:
    alone = await run_batch(side, [await side.prepare(rounds) for _ in range(plan.alone)], 1)
    jobs = [await side.prepare(rounds) for _ in range(plan.jobs)]
    await asyncio.sleep(_SETTLE_S)
    pids = {"worker": stack.pids[side.worker], **{name: stack.pids[name] for name in _SERVERS}}
    before, began = cpu_used(pids), time.perf_counter()
    await run_batch(side, jobs, plan.concurrency)
    took_s = time.perf_counter() - began
    await asyncio.sleep(_SETTLE_S)
    cpu = cpu_used(pids).since(before).per(plan.jobs)
    return Sample(cpu=cpu, jobs_per_s=plan.jobs / took_s, alone_s=median(alone), kept=await side.kept(jobs[-1]))


async def _run(plan: Plan, console: Console, profile: Path | None) -> list[Comparison]:
    async with running_stack() as stack:
        if profile is None:
            return await measure(stack, plan, console)
        async with profiled(stack.pids["worker"], profile):
            return await measure(stack, plan, console)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit code: 0, or 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What a run costs beside a bare workflow."
    )
    parser.add_argument("--k", default="5,20,60", help="rounds of a job, with commas between (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="paired measurements of each (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=16, help="jobs of a measurement (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=8, help="jobs at a time (default %(default)s)")
    parser.add_argument("--alone", type=int, default=3, help="jobs one at a time, for latency (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print every sample as JSON")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="record the worker with py-spy, as folded stacks")
    given = parser.parse_args(arguments)
    plan = Plan(tuple(map(int, given.k.split(","))), given.repeats, given.jobs, given.concurrency, given.alone)
    console = Console(stderr=given.json, width=None if sys.stdout.isatty() else 160)
    try:
        found = asyncio.run(_run(plan, console, given.profile))
    except (JobFailedError, StackError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if given.json:
        sys.stdout.write(json.dumps(as_json(found), indent=1) + "\n")
    else:
        print_tables(console, found, plan.concurrency)
    return 0
