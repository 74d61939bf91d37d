"""A vote reaches the run: at once, after an outage, after the run's end; and never twice."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from approvals.dispatch import Dispatcher
from approvals.run_line import NoAnswer, RunLine
from approvals.signing import VoteSigner
from contracts.vote import SignedVote, VoteAccepted, VoteRefusal, VoteRefused
from store.approvals import StoredRequest
from store.database import Database
from store.votes import StoredVote, votes_on
from tests.approvals.conftest import Office, form_on, office_at
from tests.approvals.run_stub import RunStub, StubRequest
from tests.approvals.scene import FIONA, FRED, LENA, TENANT, TWO_FINANCE, Person, add_people, ask, settings_for
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A1")
PASSED_THROUGH = ("contracts", "policy", "pydantic", "pydantic_core", "rfc8785", "joserfc", "cryptography")


@asynccontextmanager
async def worker_of(client: Client, queue: str) -> AsyncGenerator[None]:
    """A worker with the workflow sandbox on, as in production."""
    passed = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    runner = SandboxedWorkflowRunner(restrictions=passed)
    async with Worker(client, task_queue=queue, workflows=[RunStub], workflow_runner=runner):
        yield


async def start_run(
    client: Client, queue: str, request: StoredRequest, signer: VoteSigner, *, linger: bool = False
) -> WorkflowHandle[RunStub, str]:
    """The run that waits for this request."""
    stub = StubRequest(tenant=TENANT, opened=request.opened(), keys={signer.kid: signer.public_jwk}, linger=linger)
    return await client.start_workflow(RunStub.run, stub, id=request.run_id, task_queue=queue)


async def post(office: Office, who: Person, request: StoredRequest, verdict: str, reason: str = "") -> str:
    """Decide by the form; the page that follows."""
    async with office.signed_in(who) as client:
        address = f"/requests/{request.request_id}"
        form = {**await form_on(client, address), "digest": request.digest, "verdict": verdict, "reason": reason}
        answer = await client.post(f"{address}/decision", data=form, follow_redirects=True)
        return answer.text


async def stored_votes(db: Database, request: StoredRequest) -> tuple[StoredVote, ...]:
    async with db.tenant(TENANT) as cursor:
        return await votes_on(cursor, TENANT, request.request_id)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that must come."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in another system
            await asyncio.sleep(0.05)


@pytest.fixture
async def live(empty_database: DatabaseAddresses, tmp_path: Path, temporal_address: str) -> AsyncGenerator[Office]:
    """An office that reaches a real Temporal server."""
    async with office_at(
        settings_for(empty_database.url, tmp_path / "office", temporal_address=temporal_address)
    ) as found:
        await add_people(found.db, LENA, FRED, FIONA)
        yield found


async def test_the_page_says_at_once_what_the_run_answered(live: Office, temporal_client: Client) -> None:
    request = await ask(live.db, live.settings.state_dir.as_posix())
    signer = VoteSigner.load(live.settings.vote_key_file)
    async with worker_of(temporal_client, request.run_id):
        run = await start_run(temporal_client, request.run_id, request, signer)
        page = await post(live, LENA, request, "approve")
        assert "Your approval is recorded. Nobody else is needed: the run goes on." in page
        assert await run.result() == "granted"
    [vote] = await stored_votes(live.db, request)
    assert (vote.state, vote.person) == ("accepted", "lena")


async def test_two_people_of_a_group_are_told_who_is_still_missing(live: Office, temporal_client: Client) -> None:
    request = await ask(live.db, live.settings.state_dir.as_posix(), requirement=TWO_FINANCE)
    signer = VoteSigner.load(live.settings.vote_key_file)
    async with worker_of(temporal_client, request.run_id):
        run = await start_run(temporal_client, request.run_id, request, signer)
        assert "Waiting for 1 more person." in await post(live, FRED, request, "approve")
        assert "the run goes on" in await post(live, FIONA, request, "approve")
        assert await run.result() == "granted"


async def test_one_denial_ends_it_and_its_reason_is_kept(live: Office, temporal_client: Client) -> None:
    request = await ask(live.db, live.settings.state_dir.as_posix())
    signer = VoteSigner.load(live.settings.vote_key_file)
    async with worker_of(temporal_client, request.run_id):
        run = await start_run(temporal_client, request.run_id, request, signer)
        assert "Your denial is recorded." in await post(live, LENA, request, "deny", "already refunded by hand")
        assert await run.result() == "denied"
    [vote] = await stored_votes(live.db, request)
    assert vote.reason == "already refunded by hand"


async def test_a_vote_cast_while_temporal_is_down_arrives_when_it_is_back(
    office: Office, temporal_client: Client
) -> None:
    request = await ask(office.db, office.settings.state_dir.as_posix())
    assert "The run has not answered yet" in await post(office, LENA, request, "approve")
    signer = VoteSigner.load(office.settings.vote_key_file)
    run = await start_run(temporal_client, request.run_id, request, signer)
    async with dispatcher_of(office, temporal_client), worker_of(temporal_client, request.run_id):
        assert await run.result() == "granted"

        async def is_settled() -> bool:
            return [vote.state for vote in await stored_votes(office.db, request)] == ["accepted"]

        await until(is_settled)


async def test_two_dispatchers_side_by_side_settle_each_vote(office: Office, temporal_client: Client) -> None:
    request = await ask(office.db, office.settings.state_dir.as_posix(), requirement=TWO_FINANCE)
    for who in (FRED, FIONA):
        await post(office, who, request, "approve")
    signer = VoteSigner.load(office.settings.vote_key_file)
    run = await start_run(temporal_client, request.run_id, request, signer)
    async with (
        worker_of(temporal_client, request.run_id),
        dispatcher_of(office, temporal_client),
        dispatcher_of(office, temporal_client),
    ):
        assert await run.result() == "granted"

        async def are_settled() -> bool:
            return [vote.state for vote in await stored_votes(office.db, request)] == ["accepted", "accepted"]

        await until(are_settled)


async def test_a_run_that_is_gone_closes_the_vote(office: Office, temporal_client: Client) -> None:
    request = await ask(office.db, office.settings.state_dir.as_posix())
    await post(office, LENA, request, "approve")
    async with dispatcher_of(office, temporal_client):

        async def is_refused() -> bool:
            [vote] = await stored_votes(office.db, request)
            return vote.refusal is VoteRefusal.REQUEST_CLOSED

        await until(is_refused)


async def test_delivering_again_changes_nothing(office: Office, temporal_client: Client) -> None:
    request = await ask(office.db, office.settings.state_dir.as_posix())
    await post(office, LENA, request, "approve")
    [vote] = await stored_votes(office.db, request)
    signer = VoteSigner.load(office.settings.vote_key_file)
    line = line_to(temporal_client)
    signed = SignedVote(jws=vote.jws)
    async with worker_of(temporal_client, request.run_id):
        run = await start_run(temporal_client, request.run_id, request, signer, linger=True)
        for _ in range(3):
            answer = await line.deliver(request.run_id, vote.decision_id, signed, within_s=10)
            assert isinstance(answer, VoteAccepted)
        assert await run.query(RunStub.signals) == 3
        await run.terminate()
        # A run that ended is still asked: it had counted the vote.
        answer = await line.deliver(request.run_id, vote.decision_id, signed, within_s=10)
        assert isinstance(answer, VoteAccepted)
        late = await line.deliver(request.run_id, "dec-" + "a" * 26, signed, within_s=10)
        assert late == VoteRefused(refusal=VoteRefusal.REQUEST_CLOSED)


async def test_a_run_without_a_worker_is_no_answer(office: Office, temporal_client: Client) -> None:
    request = await ask(office.db, office.settings.state_dir.as_posix())
    await post(office, LENA, request, "approve")
    [vote] = await stored_votes(office.db, request)
    run = await start_run(temporal_client, request.run_id, request, VoteSigner.load(office.settings.vote_key_file))
    answer = await line_to(temporal_client).deliver(
        request.run_id, vote.decision_id, SignedVote(jws=vote.jws), within_s=0.5
    )
    assert isinstance(answer, NoAnswer)
    await run.terminate()


def line_to(client: Client) -> RunLine:
    async def connected() -> Client:
        return client

    return RunLine(connected)


@asynccontextmanager
async def dispatcher_of(office: Office, client: Client) -> AsyncGenerator[None]:
    """A dispatcher as another web process has it."""
    wait = timedelta(seconds=0.2)
    async with Database(office.settings.database_address(), role=office.settings.dispatch_role) as db:
        # The form gives itself some seconds to deliver; here it has failed already.
        async with db.everywhere() as cursor:
            await cursor.execute("update votes set next_attempt_at = now()")
        dispatcher = Dispatcher(db, line_to(client), poll_s=0.05, first_wait=wait, longest_wait=wait)
        task = asyncio.create_task(dispatcher.run())
        try:
            yield
        finally:
            dispatcher.stop()
            await task
