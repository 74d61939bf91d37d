"""Postgres stops and starts while people decide, while their votes wait for a run, and while their pages listen."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from approvals.live import LiveDesk
from approvals.visitors import Visitor
from contracts.outcome import Outcome
from store.approvals import StoredRequest
from tests.approvals.conftest import Office
from tests.crashes.invariants import check
from tests.crashes.stack import CrashStack
from tests.crashes.victims import Victim
from tests.operating import soon
from tests.workflows.test_races import browser_of, form_of, office_of, press, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="package"), pytest.mark.long, pytest.mark.timeout(400), pytest.mark.req("A1", "D1")
]  # fmt: skip
HEARS_WITHIN_S = 60


async def pressed_until_taken(client: httpx.AsyncClient, request: StoredRequest, form: dict[str, str]) -> list[int]:
    """What each press was answered, of a person who presses again while they read that nothing was decided."""
    statuses: list[int] = []

    async def pressed() -> bool | None:
        statuses.append(await press(client, request, form))
        return True if statuses[-1] != 503 else None

    await soon(pressed, "the form never came back")
    return statuses


@asynccontextmanager
async def open_page(office: Office, visitor: Visitor, request: StoredRequest) -> AsyncGenerator[AsyncGenerator[str]]:
    """A page that listens, after the line that says how to come back."""
    live: LiveDesk = office.app.state.services.live
    events = live.serve(live.open(visitor, request.request_id))
    assert (await anext(events)).startswith("retry: ")
    yield events
    await events.aclose()


async def hears_a_change(events: AsyncGenerator[str]) -> None:
    async with asyncio.timeout(HEARS_WITHIN_S):
        while not (await anext(events)).startswith("event: changed"):
            pass


WAYS: tuple[Callable[[Victim], None], ...] = (Victim.kill, lambda postgres: postgres.shut_down(signal.SIGINT))


async def test_a_store_that_restarts_loses_no_vote_and_counts_none_twice(stack: CrashStack) -> None:
    async with office_of(stack.installation) as office:
        for end_it in WAYS:
            await through_a_restart(stack, office, end_it)


async def through_a_restart(stack: CrashStack, office: Office, end_it: Callable[[Victim], None]) -> None:
    runs = [await stack.begin("large") for _ in range(4)]
    requests = [await stack.installation.open_request(run.handle) for run in runs]
    async with AsyncExitStack() as open_ones:
        tabs = [await open_ones.enter_async_context(browser_of(office, "lena")) for _ in requests]
        forms = [await form_of(tab, request, "approve") for tab, request in zip(tabs, requests, strict=True)]
        sessions = office.app.state.services.desk
        visitors = [await sessions.find(tab.cookies[sessions.cookie]) for tab in tabs]
        pages = [
            await open_ones.enter_async_context(open_page(office, visitor, request))
            for visitor, request in zip(visitors, requests, strict=True)
        ]
        # No run can answer: the first votes are stored and wait to be sent again, the others are cast meanwhile.
        stack.worker.pause()
        cast = await asyncio.gather(*(press(tabs[number], requests[number], forms[number]) for number in (0, 1)))
        assert cast == [303, 303]
        during = [
            asyncio.create_task(pressed_until_taken(tabs[number], requests[number], forms[number]))
            for number in (2, 2, 3, 3)
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(end_it, stack.postgres)
        try:
            assert (await tabs[0].get(f"/requests/{requests[0].request_id}")).status_code == 503
            assert await press(tabs[0], requests[0], forms[0]) == 503
        finally:
            await stack.postgres.start()
            stack.worker.go_on()
        answers = await asyncio.gather(*during)
        assert {statuses[-1] for statuses in answers} == {303}
        await asyncio.gather(*(hears_a_change(page) for page in pages))
        for run, request, tab in zip(runs, requests, tabs, strict=True):
            report = await stack.end_of(run)
            assert report.outcome is Outcome.COMPLETED
            check(stack, run, report)
            assert len(stack.refunds_of(run)) == 1
            found, votes = await settled(office, request)
            assert (found.state, [vote.state for vote in votes]) == ("granted", ["accepted"])
            assert '<p class="big">Approved</p>' in (await tab.get(f"/requests/{request.request_id}")).text
