"""Agents are principals whose state counts in the middle of a run, and whose credentials end when they are revoked."""

import asyncio
import time
from collections.abc import Callable

import psycopg
import pytest

from activities.credentials.own import epoch_name
from contracts.outcome import Outcome
from settings.key_files import replace_in_place
from settings.signing_keys import key_set_text, new_key, parse_keys, public_set, rotated
from store.agents import change_agent, find_agent
from store.database import Database
from store.revocations import current_epoch, news, revoke
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation

AGENT = "support_refund"
WAIT_S = 60.0


async def disable(db: Database) -> int:
    """As `countersign agent disable` does; the epoch below which credentials are refused."""
    async with db.tenant(TENANT) as cursor:
        seen = await find_agent(cursor, TENANT, AGENT)
    assert seen is not None
    off = seen.wanted.model_copy(update={"enabled": False})
    done = await change_agent(db, seen, "disable", off, by="ann", role="kill", reason="refunds look wrong")
    assert done.kind == "changed"
    return done.epoch or 0


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.05)


@pytest.mark.req("I1")
async def test_an_agent_that_is_disabled_mid_run_makes_no_further_call(
    installation: Installation, database: DatabaseAddresses
) -> None:
    handle = await installation.start({"ticket_id": "TIC-2006"})
    request = await installation.open_request(handle)
    epoch = await disable(installation.db)
    await installation.vote(handle, request, "lena")

    with psycopg.connect(database.owner_url, autocommit=True) as owner:

        def is_halted() -> bool:
            row = owner.execute(
                "select count(*) from journal where run_id = %s and control like '%%\"halted\"%%'", (handle.id,)
            ).fetchone()
            return row is not None and row[0] > 0

        await until(is_halted)
        writes = owner.execute("select count(*) from effects where run_id = %s", (handle.id,)).fetchone()
    assert writes == (0,)
    assert installation.refunds() == []
    async with installation.db.tenant(TENANT) as cursor:
        now = await current_epoch(cursor, tenant=TENANT, run_id=handle.id, agent=AGENT, tool="payments.issue_refund")
    assert now == epoch > 0
    await handle.terminate("the test is over")


@pytest.mark.req("I3")
async def test_credentials_of_a_run_carry_the_epoch_of_their_call(
    installation: Installation, database: DatabaseAddresses, backoffice: Server
) -> None:
    async with installation.db.tenant(TENANT) as cursor:
        epoch = await revoke(cursor, tenant=TENANT, scope="tenant", target="*", by="ann", reason="a drill")
    async with Database(database.url, role="countersign_dispatch", max_connections=1) as dispatch:
        told = installation.engine.credentials.own.sign_epochs(await news(dispatch))
    # The service knows of the revocation before the run begins: only credentials minted after it are good there.
    answer = backoffice.http.post("/countersign/epochs", content=told, headers={"Content-Type": "application/jwt"})
    assert answer.status_code == 204
    report = await (await installation.start({"ticket_id": "TIC-2001"})).result()
    assert report.outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1
    later = installation.engine.credentials.own.sign_epochs({("acme", "agent", AGENT): epoch + 1})
    backoffice.http.post("/countersign/epochs", content=later, headers={"Content-Type": "application/jwt"})
    assert len(epoch_name("agent", "acme", AGENT)) == 64
    handle = await installation.start({"ticket_id": "TIC-2001"})
    assert (await handle.result()).outcome is not Outcome.COMPLETED
    assert len(installation.refunds()) == 1


@pytest.mark.req("I3")
async def test_keys_rotate_under_a_running_worker(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settings.signing_keys._LOOK_EVERY_S", 0.0)
    file = installation.settings.credential_key_file
    public = file.with_name("credential.jwks.json")
    before, before_public = file.read_text(), public.read_text()
    handle = await installation.start({"ticket_id": "TIC-2006"})
    request = await installation.open_request(handle)
    now_s = int(time.time())
    # With no time left to the old key: what is minted from now on verifies with the new one alone.
    after = rotated(parse_keys(before), new_key(), now_s=now_s - 1, lead_s=0, overlap_s=0)
    try:
        replace_in_place(public, public_set(after, now_s + 1))
        replace_in_place(file, key_set_text(after))
        await installation.vote(handle, request, "lena")
        report = await handle.result()
    finally:
        replace_in_place(public, before_public)
        replace_in_place(file, before)
    assert report.outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1
    assert parse_keys(before)[0].kid not in public_set(after, now_s + 1)
