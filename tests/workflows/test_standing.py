"""Standing approvals in whole runs: what falls under one needs nobody else, and whatever looks like it does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from temporalio.client import Client, WorkflowHandle

from approvals.passkeys import PasskeyDesk
from approvals.run_line import RunLine
from approvals.services import DecidingServices
from approvals.standing import ProposeStanding, decide_standing, propose_like
from approvals.visitors import Visitor
from approvals.wire import DecideStanding
from cli.timeline import timeline
from contracts.canonical import canonical_bytes
from contracts.outcome import Outcome, RunReport
from contracts.standing import AnyValue, AtMost, Bound, Equals, OfEvent, StandingTerms
from contracts.vote import Verdict, VoteRefusal
from incidents.history import fetch_history
from incidents.replay import Same, replay
from incidents.tell import tell
from store.accounts import NewAccount, Role, add_account
from store.approvals import StoredRequest
from store.sessions import StoredSession
from store.standing import StandingShown, find_standing, revoke_standing, uses_of
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("A9")

LARGE = "TIC-2006"
BOUNDS: tuple[Bound, ...] = (
    OfEvent(argument="order_id"),
    AtMost(argument="amount_minor", most=40_000),
    Equals(argument="currency", value="EUR"),
    AnyValue(argument="reason_code", unproven=True),
    OfEvent(argument="ticket_id"),
)
Handle = WorkflowHandle[AgentRun, RunReport]


@pytest.fixture
async def desk(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation with two more leads, mia and noa."""
    async with installed(tmp_path, database.url, temporal_address, backoffice, credential_key[0]) as made:
        async with made.db.tenant(TENANT) as cursor:
            for name in ("mia", "noa"):
                account = NewAccount(
                    tenant=TENANT, username=name, person=name, display_name=name.title(), groups=("support-leads",),
                    roles=("view", "approve"),
                )  # fmt: skip
                await add_account(cursor, account, PASSWORD)
        yield made


async def asked(desk: Installation, ticket: str = LARGE) -> tuple[Handle, StoredRequest]:
    handle = await desk.start({"ticket_id": ticket})
    return handle, await desk.open_request(handle)


async def example(desk: Installation) -> StoredRequest:
    """A request that people denied: the order stays as it was, for the runs that come."""
    handle, request = await asked(desk)
    await desk.vote(handle, request, "lena", verdict=Verdict.DENY, reason="Only an example.")
    await handle.result()
    return request


async def proposed(
    desk: Installation, *, bounds: tuple[Bound, ...] = BOUNDS, uses: int = 3, total: int = 100_000, person: str = "fay"
) -> StandingShown:
    request = await example(desk)
    async with desk.db.tenant(TENANT) as cursor:
        return await propose_like(
            cursor, TENANT,
            ProposeStanding(
                like=request.request_id, scope="small-refunds", bounds=bounds, max_uses=uses, total_minor=total, days=7,
                reason="The carrier lost a truck of parcels.",
            ),
            standing_file=desk.settings.standing_file, username=person, person=person,
        )  # fmt: skip


def session_of(person: str, groups: tuple[str, ...] = ("support-leads",), *, age_s: int = 5) -> StoredSession:
    now = datetime.now(UTC).timestamp()
    roles: tuple[Role, ...] = ("view", "approve")
    return StoredSession(
        tenant=TENANT, username=person, person=person, display_name=person.title(), issuer="local", groups=groups,
        roles=roles, authenticated_at=datetime.fromtimestamp(now - age_s, UTC), csrf_hash=b"",
        expires_at=datetime.fromtimestamp(now + 600, UTC), multi_factor=False,
    )  # fmt: skip


async def nobody_answers() -> Client:
    raise AssertionError("Temporal is not asked")


async def voted(
    desk: Installation, standing: StandingShown, session: StoredSession, **changes: object
) -> StandingShown | VoteRefusal:
    posted = DecideStanding.model_validate(
        {"verdict": "approve", "digest": standing.digest, "reason": "Agreed with the carrier.", **changes}
    )
    # No run is asked of a standing approval, and nobody here has a passkey.
    services = DecidingServices(
        database=desk.db, signer=desk.signer, runs=RunLine(nobody_answers),
        passkeys=PasskeyDesk(None, is_demanded=False, web_url=desk.settings.web_url),
    )  # fmt: skip
    visitor = Visitor(session=session, token="", csrf="")
    async with desk.db.tenant(TENANT) as cursor:
        return await decide_standing(cursor, services, visitor, standing.standing_id, posted)


async def granted(
    desk: Installation, *, uses: int = 3, total: int = 100_000, bounds: tuple[Bound, ...] = BOUNDS
) -> str:
    standing = await proposed(desk, uses=uses, total=total, bounds=bounds)
    await voted(desk, standing, session_of("mia"))
    found = await voted(desk, standing, session_of("noa"))
    assert isinstance(found, StandingShown)
    assert found.state == "granted"
    return standing.standing_id


async def runs_alone(desk: Installation, on_behalf_of: str | None = None) -> bool:
    """Whether a new run of the large ticket needs nobody. One that asks is ended."""
    desk.backoffice.admin("POST", "/reset")
    handle = await desk.start({"ticket_id": LARGE}, on_behalf_of=on_behalf_of)
    ended, asking = asyncio.create_task(handle.result()), asyncio.create_task(desk.open_request(handle))
    done, _ = await asyncio.wait((ended, asking), return_when=asyncio.FIRST_COMPLETED)
    if asking in done:
        await handle.cancel()
        await ended
        assert desk.refunds() == []
        return False
    asking.cancel()
    assert (await ended).outcome is Outcome.COMPLETED
    return True


async def shown(desk: Installation, standing_id: str) -> StandingShown:
    async with desk.db.tenant(TENANT) as cursor:
        return await find_standing(cursor, TENANT, standing_id)


@asynccontextmanager
async def changed(desk: Installation, change: LiteralString, back: LiteralString) -> AsyncGenerator[None]:
    """Mia's account, changed for a while."""
    for words in (change, back):
        async with desk.db.tenant(TENANT) as cursor:
            await cursor.execute("update accounts set " + words + " where username = 'mia'")  # noqa: S608 - literals
        if words is change:
            yield


async def forget_deeds(desk: Installation) -> None:
    """As if the refund had been made for other orders: what was done before asks people for its own reason."""
    async with desk.db.tenant(TENANT) as cursor:
        await cursor.execute("update effects set natural_key = natural_key || '/' || run_id")


async def test_two_persons_agree_once_and_each_use_is_counted_and_told(desk: Installation) -> None:
    standing_id = await granted(desk, uses=2)
    assert await runs_alone(desk)
    await forget_deeds(desk)
    assert await runs_alone(desk)
    await forget_deeds(desk)
    assert not await runs_alone(desk), "it was used as often as was agreed"
    async with desk.db.tenant(TENANT) as cursor:
        uses = await uses_of(cursor, TENANT, standing_id)
        assert [(use.number, use.amount_minor, use.state) for use in uses] == [
            (2, 31_900, "succeeded"), (1, 31_900, "succeeded"),
        ]  # fmt: skip
        await cursor.execute(
            "select body from audit where run_id = %s and kind = 'decided' and body like %s",
            (uses[0].run_id, f'%"standing":{{"standing_id":"{standing_id}","number":2,"max_uses":2}}%'),
        )
        assert len(await cursor.fetchall()) == 1, "the decision says which it was, and which use"
    history = await fetch_history(desk.client, uses[0].run_id)
    told = "\n".join(line.text.plain for line in timeline(tell(history)))
    assert f"allowed under the standing approval {standing_id}, use 2 of 2 by" in told
    assert isinstance(await replay(history), Same)


async def test_one_person_or_the_wrong_ones_do_not_make_it(desk: Installation) -> None:
    standing = await proposed(desk, person="noa")
    assert not await runs_alone(desk), "a proposal holds nothing"
    assert await voted(desk, standing, session_of("noa")) is VoteRefusal.INTERESTED_PARTY
    assert await voted(desk, standing, session_of("fay", ("finance",))) is VoteRefusal.NOT_ELIGIBLE
    assert await voted(desk, standing, session_of("mia"), reason="") is VoteRefusal.REASON_MISSING
    assert await voted(desk, standing, session_of("mia", age_s=3_600)) is VoteRefusal.STALE_SIGN_IN
    assert await voted(desk, standing, session_of("mia"), digest="sha256:" + "0" * 64) is VoteRefusal.WRONG_DIGEST
    assert isinstance(await voted(desk, standing, session_of("mia")), StandingShown)
    assert await voted(desk, standing, session_of("mia")) is VoteRefusal.SAME_PERSON
    assert not await runs_alone(desk), "one person is not enough"
    denied = await voted(desk, standing, session_of("lena"), verdict="deny")
    assert isinstance(denied, StandingShown)
    assert denied.state == "denied"
    assert await voted(desk, standing, session_of("lena")) is VoteRefusal.REQUEST_CLOSED


async def test_what_has_changed_since_people_agreed_asks_people_again(desk: Installation, tmp_path: Path) -> None:
    standing_id = await granted(desk)
    async with changed(desk, "groups = '{}'", "groups = '{support-leads}'"):
        assert not await runs_alone(desk), "one who agreed is no lead any more"
    async with changed(desk, "disabled = true", "disabled = false"):
        assert not await runs_alone(desk), "one who agreed is disabled"
    assert not await runs_alone(desk, on_behalf_of="mia"), "one who agreed is whom the run acts for"
    usual = desk.settings.standing_file
    narrowed = tmp_path / "standing.yaml"
    narrowed.write_text(usual.read_text().replace("max_uses: 200", "max_uses: 2"))
    desk.engine.settings = desk.settings.model_copy(update={"standing_file": narrowed})
    assert not await runs_alone(desk), "the settings allow less by now"
    desk.engine.settings = desk.settings
    assert await runs_alone(desk)
    await forget_deeds(desk)
    async with desk.db.tenant(TENANT) as cursor:
        await revoke_standing(cursor, TENANT, standing_id, person="lena", reason="The parcels were found.")
    assert not await runs_alone(desk), "it was revoked"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        async with desk.db.tenant(TENANT) as cursor:
            await cursor.execute("update standing_approvals set state = 'granted'")


async def test_whoever_forges_or_changes_rows_gains_nothing(desk: Installation, database: DatabaseAddresses) -> None:
    """Not even with the rights of the tables' owner: votes are over the digest of the terms."""
    standing = await proposed(desk)
    await voted(desk, standing, session_of("mia"))
    one = (await shown(desk, standing.standing_id)).terms
    changes = StandingTerms.model_validate_json(one).model_copy(update={"max_uses": 100})
    other = canonical_bytes(changes).decode()
    async with desk.db.tenant(TENANT) as cursor:
        await cursor.execute("update standing_approvals set state = 'granted', decided_at = now()")
    assert not await runs_alone(desk), "granted without the votes"
    async with desk.db.tenant(TENANT) as cursor:
        await cursor.execute(
            """insert into standing_votes (tenant, standing_id, person, display_name, verdict, reason, jws)
               select tenant, standing_id, 'noa', 'Noa', 'approve', reason, jws from standing_votes"""
        )
    assert not await runs_alone(desk), "one person's vote twice"
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("set session_replication_role = 'replica'")  # no trigger stands in the way
        owner.execute("delete from standing_votes where person = 'noa'")
        owner.execute("update standing_approvals set state = 'proposed'")
    await voted(desk, standing, session_of("noa"))
    assert await runs_alone(desk)
    await forget_deeds(desk)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("update standing_approvals set terms = %s", (other,))
    assert not await runs_alone(desk), "other terms under the same votes"
