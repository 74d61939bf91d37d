"""One kill -9 with many runs under way, each at a boundary of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.outcome import Outcome
from tests.crashes.invariants import check
from tests.crashes.points import NO_STATEMENT, CrashPoint, Victims
from tests.crashes.stack import HANG_S, CrashStack, Run
from tests.crashes.victims import Victim, until

__all__ = ["kill_at"]


@dataclass(frozen=True)
class Placed:
    """A run with the point to which it is brought."""

    point: CrashPoint
    run: Run

    @property
    def is_held(self) -> bool:
        """Whether a statement of it is held."""
        return self.point.point not in NO_STATEMENT


async def kill_at(stack: CrashStack, victim: Victims, points: Sequence[CrashPoint]) -> dict[str, str]:
    """Bring a run to each point, kill, start again, and check every run when it has ended.

    Returns:
        By point, how those ended that are not completed.
    """
    killed = asyncio.Event()
    placed = [await place(stack, point) for point in points if point.point != "sending"]
    votes = [asyncio.create_task(decide(stack, one, killed)) for one in placed if one.point.kind == "large"]
    held = {one.run.run_id for one in placed if one.is_held}
    await asyncio.to_thread(stack.holds.wait_for, held)
    placed += [await place_sending(stack, point) for point in points if point.point == "sending"]
    for one in placed:
        match one.point.point:
            case "waiting":
                await stack.installation.open_request(one.run.handle)
            case "voted":
                await stack.vote_unheard(one.run)
            case _:
                pass
    undone = {one.run.run_id for one in placed if one.is_held and not one.point.commits}
    await kill_and_start(stack, victim, undone)
    killed.set()
    reports = await asyncio.gather(*(stack.end_of(one.run) for one in placed))
    await asyncio.gather(*votes)
    for one, report in zip(placed, reports, strict=True):
        check(stack, one.run, report)
    return {
        str(one.point): f"{report.outcome}: {report.reason} {report.content.packet}"
        for one, report in zip(placed, reports, strict=True)
        if report.outcome is not Outcome.COMPLETED
    }


async def kill_and_start(stack: CrashStack, victim: Victims, undone: set[str]) -> None:
    """Kill the victim while statements are held, and let them end as their points say."""
    process: Victim = getattr(stack, victim)
    process.kill()
    if victim == "postgres":
        # It took every held statement with it.
        await process.start()
        stack.holds.release()
        return
    if victim == "worker":
        # Its statements are still under way in the server: some never commit, some do, and nobody hears of it.
        stack.holds.undo(undone)
    stack.holds.release()
    await process.start()


async def place(stack: CrashStack, point: CrashPoint) -> Placed:
    """Start a run that will stand at the point."""
    run = await stack.begin(point.kind, hold="" if point.point in NO_STATEMENT else point.point)
    return Placed(point, run)


async def place_sending(stack: CrashStack, point: CrashPoint) -> Placed:
    """A run in the middle of its refund: done in the books, and the answer does not come."""
    stack.backoffice.plan_fault("timeout_after_effect", {"seconds": HANG_S * 2})
    run = await stack.begin(point.kind)
    await asyncio.to_thread(until, lambda: len(stack.refunds_of(run)) == 1, "the refund is in the books")
    return Placed(point, run)


async def decide(stack: CrashStack, one: Placed, killed: asyncio.Event) -> None:
    """Approve as soon as there is a request; where the kill is to find the run waiting, after it."""
    if one.point.point in {"waiting", "voted"}:
        await killed.wait()
    await stack.approve(one.run)
