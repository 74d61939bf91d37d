"""Streams of open pages: who hears what, how many there may be, and when they end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest

from approvals.live import LiveDesk, Stream
from approvals.visitors import Visitor
from tests.approvals.conftest import Office, csrf_of, form_on, office_at
from tests.approvals.scene import EVE, FIONA, LENA, VERA, ask
from tests.conftest import DatabaseAddresses
from tests.operating import soon

pytestmark = pytest.mark.req("A2", "I9")
LIMIT_S = 10
CHANGED = "event: changed\ndata: 1\n\n"


def desk(office: Office) -> LiveDesk:
    found = office.app.state.services.live
    assert isinstance(found, LiveDesk)
    return found


async def visitor_of(office: Office, client: httpx.AsyncClient) -> Visitor:
    sessions = office.app.state.services.desk
    found = await sessions.find(client.cookies[sessions.cookie])
    assert isinstance(found, Visitor)
    return found


async def listening(owner_url: str) -> None:
    """Until the process hears the store: as its owner, who alone sees what others' connections do."""
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:

        async def look() -> object:
            found = await connection.execute(
                """select from pg_stat_activity where application_name = 'countersign/live'
                   and datname = current_database() and state = 'idle' and query ilike 'listen%'"""
            )
            return await found.fetchone()

        await soon(look, "a listening connection")


@asynccontextmanager
async def heard(office: Office, stream: Stream) -> AsyncGenerator[AsyncGenerator[str]]:
    """What goes over the wire, after the line that says how to come back."""
    events = desk(office).serve(stream)
    assert (await anext(events)).startswith("retry: ")
    yield events
    await events.aclose()


async def following(events: AsyncGenerator[str]) -> str:
    async with asyncio.timeout(LIMIT_S):
        return await anext(events)


async def test_a_page_and_the_inbox_hear_a_change_and_another_tenant_does_not(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    request, other = await ask(office.db), await ask(office.db, "2")
    await listening(empty_database.owner_url)
    async with office.signed_in(LENA) as lena, office.signed_in(EVE) as eve:
        visitor, stranger = await visitor_of(office, lena), await visitor_of(office, eve)
        async with (
            heard(office, desk(office).open(visitor, request.request_id)) as page,
            heard(office, desk(office).open(visitor)) as inbox,
            heard(office, desk(office).open(visitor, other.request_id)) as other_page,
            heard(office, desk(office).open(stranger)) as foreign,
        ):
            quiet = [asyncio.create_task(anext(events)) for events in (other_page, foreign)]
            address = f"/requests/{request.request_id}"
            form = {**await form_on(lena, address), "digest": request.digest, "verdict": "approve"}
            assert (await lena.post(f"{address}/decision", data=form)).status_code == 303
            assert await following(page) == CHANGED
            assert await following(inbox) == CHANGED
            assert not any(task.done() for task in quiet)
            for task in quiet:
                task.cancel()
            await asyncio.gather(*quiet, return_exceptions=True)


async def test_signing_out_ends_the_streams_of_that_session_alone(office: Office) -> None:
    async with office.signed_in(LENA) as client, office.signed_in(LENA) as other:
        stays = desk(office).open(await visitor_of(office, other))
        async with heard(office, desk(office).open(await visitor_of(office, client))) as events:
            await client.post("/sign-out", data={"csrf": await csrf_of(client)})
            assert await following(events) == "event: end\ndata: signed_out\n\n"
            with pytest.raises(StopAsyncIteration):
                await anext(events)
        async with heard(office, stays) as events:
            stays.tell()
            assert await following(events) == CHANGED


async def test_a_session_that_ended_elsewhere_is_found(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.live.CHECK_EVERY_S", 0.02)
    async with office_at(office.settings) as again, again.signed_in(LENA) as client, again.signed_in(VERA) as vera:
        stays = desk(again).open(await visitor_of(again, vera))
        async with heard(again, desk(again).open(await visitor_of(again, client))) as events:
            async with again.db.tenant(LENA.tenant) as cursor:
                await cursor.execute("update accounts set disabled = true where username = 'lena'")
            assert await following(events) == "event: end\ndata: signed_out\n\n"
        async with heard(again, stays) as events:
            stays.tell()
            assert await following(events) == CHANGED


async def test_one_stream_too_many_of_a_session_ends_its_oldest(office: Office) -> None:
    async with office.signed_in(LENA) as client, office.signed_in(FIONA) as fiona:
        desk(office).open(await visitor_of(office, fiona))
        visitor = await visitor_of(office, client)
        first, *_, last = [desk(office).open(visitor) for _ in range(5)]
        async with heard(office, first) as events:
            assert await following(events) == "event: end\ndata: replaced\n\n"
        async with heard(office, last) as events:
            last.tell()
            assert await following(events) == CHANGED


async def test_everybody_together_is_bounded_and_an_ending_process_takes_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.signed_in(LENA) as client:
        stream = desk(office).open(await visitor_of(office, client))
        with monkeypatch.context() as patch:
            patch.setattr("approvals.live._TOTAL", 1)
            assert (await client.get("/requests/live")).status_code == 503
        desk(office).close()
        async with heard(office, stream) as events:
            assert await following(events) == "event: end\ndata: closing\n\n"
        assert (await client.get("/requests/live")).status_code == 503


async def test_a_stream_is_for_whoever_may_see_the_page(office: Office) -> None:
    request = await ask(office.db)
    async with office.visitor() as nobody:
        assert (await nobody.get(f"/requests/{request.request_id}/live")).status_code == 303
    async with office.signed_in(EVE) as client:
        assert (await client.get(f"/requests/{request.request_id}/live")).status_code == 404
