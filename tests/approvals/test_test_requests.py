"""Test requests before people: like any other until they decide, and then nothing has happened but that they know."""

import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from approvals.standing import ProposeStanding, propose_like
from contracts.vote import SignedVote
from policy.decoys import tenfold
from store.approvals import StoredRequest, find_request
from store.database import Database
from store.decoys import Decoy, NewDecoy, end_stale_decoys, find_decoy, plant_decoy
from store.standing import StandingNotAllowed
from tests.approvals.conftest import Office, form_on, office_at
from tests.approvals.scene import (
    FIONA,
    FRED,
    LENA,
    PASSWORD,
    TENANT,
    TWO_FINANCE,
    VERA,
    Person,
    add_people,
    ask,
    refund_view,
    settings_for,
)
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A11")
ROOT = Person("root", (), ("view", "administer"))
TOUCHED = {"approval_requests", "decoys", "request_views", "run_reads", "sessions"}
"""All that a test request and a decision on it may ever write to."""


class Wire:
    """Stands in for the line to runs: whoever speaks on it is heard."""

    def __init__(self) -> None:
        self.heard: list[SignedVote] = []

    async def deliver(self, run_id: str, decision_id: str, signed: SignedVote, *, within_s: float) -> Any:  # noqa: ANN401 - never returns
        self.heard.append(signed)
        raise AssertionError((run_id, decision_id, within_s))


@pytest.fixture
async def office(database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int]) -> AsyncGenerator[Office]:
    """An office of its own: its tables are counted."""
    settings = settings_for(database.url, tmp_path / "office", temporal_address=f"127.0.0.1:{free_port()}")
    async with office_at(settings) as found:
        await add_people(found.db, LENA, FRED, FIONA, VERA, ROOT)
        yield found


async def planted(db: Database, name: str = "real", **changes: Any) -> tuple[Decoy, StoredRequest]:  # noqa: ANN401 - any field
    """A test request made of a real one, which is closed."""
    source = await ask(db, name, **changes)
    view = refund_view(source.run_id, **changes)
    fault = tenfold(view, ())
    assert fault is not None
    async with db.tenant(TENANT) as cursor:
        await cursor.execute("update approval_requests set state = 'granted', closed_at = now()")
        decoy = await plant_decoy(
            cursor, source, NewDecoy(view=fault.view, fault="tenfold", tell=fault.tell, by="root")
        )
        request = await find_request(cursor, TENANT, decoy.request_id)
    assert request is not None
    return decoy, request


async def counts(url: str) -> dict[str, int]:
    """Rows of every table."""
    async with (
        AsyncConnectionPool[Any](url, min_size=1, max_size=1, open=False) as owner,
        owner.connection() as connection,
    ):
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute("select tablename from pg_tables where schemaname = 'public'")
        names = [row["tablename"] for row in await cursor.fetchall()]
        found: dict[str, int] = {}
        for name in names:
            await cursor.execute(sql.SQL("select count(*) as n from {}").format(sql.Identifier(name)))
            row = await cursor.fetchone()
            found[name] = row["n"] if row else 0
        return found


async def say(client: Any, request: StoredRequest, verdict: str, reason: str = "") -> Any:  # noqa: ANN401 - a client and answer of httpx
    address = f"/requests/{request.request_id}"
    form = {**await form_on(client, address), "digest": request.digest, "verdict": verdict, "reason": reason}
    return await client.post(f"{address}/decision", data=form, follow_redirects=True)


async def test_approving_one_does_nothing_anywhere_and_is_told_at_once(
    office: Office, database: DatabaseAddresses
) -> None:
    wire = Wire()
    object.__setattr__(office.app.state.services, "runs", wire)
    decoy, request = await planted(office.db)
    before = await counts(database.owner_url)
    async with office.signed_in(LENA) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert "EUR 4,800.00" in page
        assert "test request" not in page
        answer = await say(client, request, "approve")
        assert (answer.status_code, "you approved it" in answer.text) == (200, True)
        assert decoy.tell in answer.text
        again = await say(client, request, "approve")
        assert again.status_code == 409
    after = await counts(database.owner_url)
    assert {name for name in before if before[name] != after[name]} <= TOUCHED - {"approval_requests", "decoys"}
    assert (after["votes"], after["effects"], after["runs"], after["journal"], wire.heard) == (0, 0, 0, 0, [])
    async with office.db.tenant(TENANT) as cursor:
        ended = await find_decoy(cursor, TENANT, decoy.request_id)
        stored = await find_request(cursor, TENANT, decoy.request_id)
    assert ended is not None
    assert stored is not None
    assert (ended.result, ended.person, stored.state) == ("missed", "lena", "voided")


async def test_a_denial_passes_and_others_learn_that_it_was_a_test_and_not_how_somebody_did(office: Office) -> None:
    decoy, request = await planted(office.db)
    async with office.signed_in(LENA) as client:
        answer = await say(client, request, "deny", "Ten times what the order cost.")
        assert "you did not approve it" in answer.text
    async with office.signed_in(VERA) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert "This was a test request" in page
        assert not re.search(r"\blena\b", page, re.IGNORECASE)  # as a word: ids are random letters
        assert decoy.tell not in page
        assert (await client.get(f"/runs/{decoy.run_id}")).status_code == 404


async def test_until_it_is_decided_nothing_tells_it_from_a_real_one(office: Office) -> None:
    decoy, request = await planted(office.db)
    real = await ask(office.db, "other")
    async with office.signed_in(LENA) as client:
        inbox = (await client.get("/requests?scope=all")).text
        assert request.request_id in inbox
        pages = [(await client.get(f"/requests/{one.request_id}")).text for one in (real, request)]
        assert [page.count("<section") for page in pages] == [pages[0].count("<section")] * 2
        assert "test request" not in "".join(pages).lower()
        run = await client.get(f"/runs/{decoy.run_id}")
        assert (run.status_code, "Waits for people" in run.text) == (200, True)
        token = (
            await client.post("/api/sign-in", json={"tenant": TENANT, "username": "lena", "password": PASSWORD})
        ).json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        replies = [
            (await client.get(f"/api/approvals/{one.request_id}", headers=headers)).json() for one in (real, request)
        ]
        assert replies[0].keys() == replies[1].keys()
        assert replies[0]["view"].keys() == replies[1]["view"].keys()


async def test_asking_back_or_handing_over_is_no_approval(office: Office) -> None:
    decoy, request = await planted(office.db)
    async with office.signed_in(LENA) as client:
        answer = await say(client, request, "ask", "Why ten times what the order cost?")
        assert "you did not approve it" in answer.text
        assert "no run waited for it" in answer.text
    async with office.db.tenant(TENANT) as cursor:
        ended = await find_decoy(cursor, TENANT, decoy.request_id)
    assert ended is not None
    assert (ended.result, ended.verdict, ended.reason) == ("caught", "ask", "Why ten times what the order cost?")


async def test_no_standing_approval_is_proposed_like_one(office: Office) -> None:
    decoy, _ = await planted(office.db)
    posted = ProposeStanding.model_construct(like=decoy.request_id)
    async with office.db.tenant(TENANT) as cursor:
        with pytest.raises(StandingNotAllowed, match="there is no request"):
            await propose_like(
                cursor, TENANT, posted, standing_file=office.settings.standing_file, username="lena", person="lena"
            )


async def test_in_a_batch_and_by_the_api_it_is_told_as_well(office: Office) -> None:
    decoy, request = await planted(office.db, tier=2)
    async with office.signed_in(LENA) as client:
        listed = await client.get("/requests/batch")
        assert request.request_id in listed.text
        assert "test request" not in listed.text
        form = {
            **await form_on(client, "/requests/batch"), f"verdict-{request.request_id}": "approve",
            f"digest-{request.request_id}": request.digest,
        }  # fmt: skip
        answer = await client.post("/requests/batch", data=form)
        assert f"This was a test request. {decoy.tell}" in answer.text
        credentials = {"tenant": TENANT, "username": "fred", "password": PASSWORD}
        token = (await client.post("/api/sign-in", json=credentials)).json()["token"]
        _, other = await planted(office.db, requirement=TWO_FINANCE, name="second")
        reply = await client.post(
            f"/api/approvals/{other.request_id}/decision",
            json={"verdict": "deny", "digest": other.digest, "reason": "Ten times too much."},
            headers={"authorization": f"Bearer {token}"},
        )
        assert reply.json()["outcome"] == "decided"
        assert reply.json()["message"].startswith("This was a test request.")


async def test_the_first_decision_ends_it_whatever_the_quorum(office: Office) -> None:
    _, request = await planted(office.db, requirement=TWO_FINANCE)
    async with office.signed_in(FRED) as client:
        assert "you approved it" in (await say(client, request, "approve")).text
    async with office.signed_in(FIONA) as client:
        answer = await say(client, request, "approve")
        assert answer.status_code == 409
        assert "you approved it" not in answer.text


async def test_what_was_withdrawn_meanwhile_becomes_no_vote(office: Office) -> None:
    decoy, request = await planted(office.db)
    async with office.signed_in(LENA) as client:
        await client.get(f"/requests/{request.request_id}")
        async with office.db.tenant(TENANT) as cursor:
            assert await end_stale_decoys(cursor, TENANT, withdraw=True) == 1
            assert await end_stale_decoys(cursor, TENANT, withdraw=True) == 0
        assert (await say(client, request, "approve")).status_code == 409
    async with office.db.tenant(TENANT) as cursor:
        found = await find_decoy(cursor, TENANT, decoy.request_id)
        await cursor.execute("select count(*) as n from votes")
        row = await cursor.fetchone()
    assert found is not None
    assert (found.result, found.person, row) == ("withdrawn", "", {"n": 0})


async def test_figures_are_for_operators_and_each_persons_own_for_that_person(office: Office) -> None:
    _, request = await planted(office.db)
    async with office.signed_in(LENA) as client:
        await client.get(f"/requests/{request.request_id}")
        await say(client, request, "approve")
        assert (await client.get("/reviewers")).status_code == 403
        mine = (await client.get("/reviewers/mine")).text
        assert "<dd>0, 1</dd>" in mine
        assert "a request is a test" in mine
    async with office.signed_in(ROOT) as client:
        for by in ("person", "group", "tool"):
            page = await client.get("/reviewers", params={"by": by})
            assert (page.status_code, "<dd>0, 1</dd>" in page.text) == (200, True), by
