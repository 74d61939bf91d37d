"""People who decide at once, and decisions that meet an end, on the real stack: one outcome each, and it is told so."""

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from contracts.outcome import Outcome, RunReport
from contracts.vote import Verdict
from store.accounts import NewAccount, add_account, find_account
from store.approvals import StoredRequest, find_request
from store.database import StoreDown
from store.votes import StoredVote, votes_on
from tests.approvals.conftest import Office, office_at
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from tests.operating import soon, switch_on
from workers.run_worker import run_worker
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("A1", "A4", "A7")
ONE_LEAD, TWO_OF_FINANCE = "TIC-2006", "TIC-2002"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_SEEN = re.compile(r'name="seen" value="(sha256:[0-9a-f]{64})"')


@pytest.fixture
async def office(installation: Installation) -> AsyncGenerator[Office]:
    """The approvals process beside the installation's worker, with a second lead."""
    async with office_of(installation) as found:
        yield found


@pytest.fixture
async def without_worker(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation whose worker a test starts and stops."""
    async with installed(tmp_path, database.url, temporal_address, backoffice, credential_key[0], worker=False) as made:
        yield made


@asynccontextmanager
async def office_of(installation: Installation) -> AsyncGenerator[Office]:
    secret = installation.settings.session_secret_file
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(secrets.token_hex(32))
    leo = NewAccount(tenant=TENANT, username="leo", person="leo", display_name="Leo", groups=("support-leads",))
    async with installation.db.tenant(TENANT) as cursor:
        await add_account(cursor, leo, PASSWORD)
    async with office_at(installation.settings) as found:
        yield found


@asynccontextmanager
async def browser_of(office: Office, username: str) -> AsyncGenerator[httpx.AsyncClient]:
    desk = office.app.state.services.desk
    async with office.db.tenant(TENANT) as cursor:
        account = await find_account(cursor, TENANT, username)
    async with office.visitor() as client:
        client.cookies.set(desk.cookie, await desk.start(account))
        yield client


async def form_of(client: httpx.AsyncClient, request: StoredRequest, verdict: str) -> dict[str, str]:
    """The form as it stands on the page that the person has open."""
    page = (await client.get(f"/requests/{request.request_id}")).text
    csrf, seen = _CSRF.search(page), _SEEN.search(page)
    assert csrf is not None
    assert seen is not None
    return {
        "csrf": csrf[1], "seen": seen[1], "digest": request.digest, "verdict": verdict, "reason": f"I say {verdict}.",
    }  # fmt: skip


async def press(client: httpx.AsyncClient, request: StoredRequest, form: dict[str, str]) -> int:
    return (await client.post(f"/requests/{request.request_id}/decision", data=form)).status_code


async def at_once(office: Office, request: StoredRequest, *decisions: tuple[str, str]) -> list[int]:
    """Everybody has the page open, and all press at the same moment."""
    async with AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(browser_of(office, name)) for name, _ in decisions]
        forms = [await form_of(one, request, said) for one, (_, said) in zip(browsers, decisions, strict=True)]
        pressed = (press(one, request, form) for one, form in zip(browsers, forms, strict=True))
        return await asyncio.gather(*pressed)


async def settled(office: Office, request: StoredRequest) -> tuple[StoredRequest, tuple[StoredVote, ...]]:
    """The request and its votes, once the run has answered every one of them."""

    async def look() -> tuple[StoredRequest, tuple[StoredVote, ...]] | None:
        try:
            async with office.db.tenant(TENANT) as cursor:
                found = await find_request(cursor, TENANT, request.request_id)
                votes = await votes_on(cursor, TENANT, request.request_id)
        except StoreDown:  # a connection that was cut is noticed when it is used
            return None
        is_over = found is not None and found.state != "open" and all(vote.state != "pending" for vote in votes)
        return (found, votes) if found is not None and is_over else None

    return await soon(look, "a vote was never answered")


def agree(report: RunReport, request: StoredRequest, votes: tuple[StoredVote, ...], refunds: int) -> None:
    """What the run reports, the request says, the votes say and the books say is one story."""
    counted = Counter(vote.verdict for vote in votes if vote.state == "accepted")
    if counted[Verdict.DENY]:
        assert (report.outcome, request.state, refunds) == (Outcome.ESCALATED, "denied", 0)
    elif counted[Verdict.HAND_OVER]:
        assert (report.outcome, request.state, refunds) == (Outcome.ESCALATED, "voided", 0)
    else:
        assert counted[Verdict.APPROVE] == request.requirement.persons
        assert (report.outcome, request.state, refunds) == (Outcome.COMPLETED, "granted", 1)
    assert all(vote.refusal for vote in votes if vote.state == "refused")


LEADS = {
    "a double click and two tabs": [("lena", "approve")] * 4,
    "two people, where one is enough": [("lena", "approve"), ("leo", "approve")],
    "one approves as another denies": [("lena", "approve"), ("leo", "deny")],
    "one approves as another takes over": [("lena", "approve"), ("leo", "hand_over")],
    "both in two minds": [("lena", "approve"), ("lena", "deny"), ("leo", "deny"), ("leo", "approve")],
}


@pytest.mark.parametrize("who", LEADS)
async def test_people_who_decide_at_once_get_one_outcome(who: str, installation: Installation, office: Office) -> None:
    handle = await installation.start({"ticket_id": ONE_LEAD})
    request = await installation.open_request(handle)
    statuses = await at_once(office, request, *LEADS[who])
    assert set(statuses) <= {303, 403, 409}
    report = await handle.result()
    found, votes = await settled(office, request)
    assert len({vote.person for vote in votes}) == len(votes)
    agree(report, found, votes, len(installation.refunds()))


async def test_two_of_two_at_once_are_both_counted(installation: Installation, office: Office) -> None:
    handle = await installation.start({"ticket_id": TWO_OF_FINANCE})
    request = await installation.open_request(handle)
    assert await at_once(office, request, ("fay", "approve"), ("finn", "approve"), ("fay", "approve")) == [303] * 3
    report = await handle.result()
    found, votes = await settled(office, request)
    assert {(vote.person, vote.state) for vote in votes} == {("fay", "accepted"), ("finn", "accepted")}
    agree(report, found, votes, len(installation.refunds()))


async def test_a_link_that_is_opened_too_late_decides_nothing_and_says_what_was_decided(
    installation: Installation, office: Office
) -> None:
    handle = await installation.start({"ticket_id": ONE_LEAD})
    request = await installation.open_request(handle)
    async with browser_of(office, "leo") as late:
        form = await form_of(late, request, "approve")
        assert await at_once(office, request, ("lena", "deny")) == [303]
        await handle.result()
        await settled(office, request)
        assert await press(late, request, form) == 409
        page = (await late.get(f"/requests/{request.request_id}")).text
    assert "I say deny." in page
    assert 'value="approve"' not in page
    _, votes = await settled(office, request)
    assert len(votes) == 1
    assert installation.refunds() == []


async def test_an_approval_that_meets_a_switch_is_used_before_it_or_not_at_all(
    installation: Installation, office: Office
) -> None:
    handle = await installation.start({"ticket_id": ONE_LEAD})
    request = await installation.open_request(handle)
    await asyncio.gather(
        at_once(office, request, ("lena", "approve")), switch_on(installation, "tool", "payments.issue_refund")
    )
    _, votes = await settled(office, request)
    assert [vote.state for vote in votes] == ["accepted"]

    async def ended_or_held() -> str | None:
        if (await handle.describe()).close_time is not None:
            return "ended"
        snapshot = await handle.query(AgentRun.snapshot)
        return "held" if snapshot.pause else None

    where = await soon(ended_or_held, "the run neither ended nor stood still")
    assert len(installation.refunds()) == (1 if where == "ended" else 0)


@pytest.mark.long
async def test_a_vote_cast_while_no_worker_runs_counts_when_one_does(without_worker: Installation) -> None:
    installation = without_worker
    async with office_of(installation) as office:
        async with run_worker(installation.client, installation.engine):
            handle = await installation.start({"ticket_id": ONE_LEAD})
            request = await installation.open_request(handle)
        assert await at_once(office, request, ("lena", "approve"), ("lena", "approve")) == [303, 303]
        async with office.db.tenant(TENANT) as cursor:
            assert [vote.state for vote in await votes_on(cursor, TENANT, request.request_id)] == ["pending"]
        assert installation.refunds() == []
        async with run_worker(installation.client, installation.engine):
            report = await handle.result()
            found, votes = await settled(office, request)
        agree(report, found, votes, len(installation.refunds()))


@pytest.mark.long
async def test_connections_that_are_cut_while_people_decide_leave_one_outcome(
    installation: Installation, office: Office, database: DatabaseAddresses
) -> None:
    handle = await installation.start({"ticket_id": ONE_LEAD})
    request = await installation.open_request(handle)

    async def cut() -> None:
        async with await psycopg.AsyncConnection.connect(database.owner_url, autocommit=True) as owner:
            for _ in range(5):
                await owner.execute(
                    """select pg_terminate_backend(pid) from pg_stat_activity
                       where datname = current_database() and pid <> pg_backend_pid()"""
                )
                await asyncio.sleep(0)

    async with browser_of(office, "lena") as client:
        form = await form_of(client, request, "approve")
        statuses = (await asyncio.gather(*(press(client, request, form) for _ in range(4)), cut()))[:4]
        assert set(statuses) <= {303, 503}

        async def pressed_again() -> bool | None:  # as the person does who reads that nothing was decided
            return (await press(client, request, form) in {303, 409}) or None

        await soon(pressed_again, "the form never came back")
    report = await handle.result()
    found, votes = await settled(office, request)
    assert len(votes) == 1
    agree(report, found, votes, len(installation.refunds()))
