"""A run as it goes: Temporal's long poll brings its events, each new line of its story is printed once."""

import asyncio
import time

from rich.text import Text
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from cli.output import CliError, Exit, console, say
from cli.run_source import wire_faults
from cli.run_view import elapsed, ending, header, line_view, show
from cli.timeline import timeline
from incidents.history import HistoryGoneError, RunHistory, fetch_history
from incidents.story import Story
from incidents.tell import tell
from settings import Settings
from settings.temporal import connect

__all__ = ["watch_run"]

_START_WAIT_S = 60
_LOOK_AGAIN_S = 0.5
_SETTLE_S = 0.15
"""Events come in bursts: a line is printed when a burst is over, so that it is printed as it stays."""


class _Screen:
    """What has been printed."""

    def __init__(self) -> None:
        self._printed: set[str] = set()
        self._began = False

    def show(self, story: Story) -> None:
        if not self._began:
            show(console, header(story), Text())
            self._began = True
        for line in timeline(story):
            if line.key not in self._printed:
                self._printed.add(line.key)
                show(console, line_view(line, elapsed(line, story)))


async def watch_run(settings: Settings, run_id: str) -> int:
    """Print what happens until the run ends. Exit code 0 whatever its outcome; 1 when its workflow failed."""
    client = await connect(settings)
    screen = _Screen()
    async with wire_faults():
        earlier = await _started(client, run_id)
        while True:
            story = await _follow(client, earlier, screen)
            if story.ending != "open":
                break
            earlier = await fetch_history(client, run_id)
    show(console, Text(), ending(story))
    return Exit.OK if story.report is not None else Exit.BAD


async def _started(client: Client, run_id: str) -> RunHistory:
    """The history so far; an accepted event may start its run in a moment."""
    deadline = time.monotonic() + _START_WAIT_S
    said = False
    while True:
        try:
            return await fetch_history(client, run_id)
        except HistoryGoneError as error:
            if time.monotonic() > deadline:
                raise CliError(
                    f"{error} after {_START_WAIT_S} s. `countersign events list` shows why.", Exit.BAD
                ) from error
        if not said:
            say(f"{run_id} has not started yet; waiting")
            said = True
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _follow(client: Client, so_far: RunHistory, screen: _Screen) -> Story:
    """Follow the newest execution to its end. The run goes on when that execution continued as new."""
    before, last = so_far.links[:-1], so_far.links[-1]
    events: list[HistoryEvent] = []
    known = len(last.events)

    def told() -> Story:
        story = tell(RunHistory(so_far.run_id, (*before, WorkflowHistory(so_far.run_id, list(events)))))
        screen.show(story)
        return story

    handle = client.get_workflow_handle(so_far.run_id, run_id=last.run_id)
    stream = handle.fetch_history_events(wait_new_event=True).__aiter__()
    coming = asyncio.ensure_future(anext(stream, None))
    story: Story | None = None
    try:
        while True:
            done, _ = await asyncio.wait((coming,), timeout=_SETTLE_S if len(events) >= known else None)
            if not done:
                story = story or told()
                await asyncio.wait((coming,))
            event = coming.result()
            if event is None:
                return told()
            events.append(event)
            story = None
            coming = asyncio.ensure_future(anext(stream, None))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return told()
        raise
    finally:
        coming.cancel()
