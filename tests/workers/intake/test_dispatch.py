"""From the inbox to Temporal: each stored event gets one run, whatever is down or dies in between."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.worker import Worker

from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent, RunRequest
from settings.errors import SettingsError
from store.database import Database
from store.inbox import Arrival, WaitingRow, accept, claim, drive_again, entries
from tests.conftest import DatabaseAddresses, running
from tests.workers.intake.sending import event
from tests.workers.intake.server import Intake
from workers.embedded.namespace import set_up_namespace
from workers.embedded.temporal import temporal_component
from workers.intake.dispatch import Dispatcher, backoff_s
from workers.intake.start_run import Engine, Hopeless, Started, start_run


@workflow.defn(name="AgentRun", sandboxed=False)
class EndsAtOnce:
    """Takes the product's input and gives back the request, so that the test sees what was asked."""

    @workflow.run
    async def run(self, request: RunRequest) -> RunRequest:
        return request


@asynccontextmanager
async def worker_of(client: Client, task_queue: str) -> AsyncGenerator[None]:
    async with Worker(client, task_queue=task_queue, workflows=[EndsAtOnce]):
        yield


@dataclass
class Inbox:
    """A dispatcher over a fresh inbox, and the means to look at both."""

    store: Database
    waiting: Database
    engine: Engine | None

    @property
    def dispatcher(self) -> Dispatcher:
        async def connect() -> Engine:
            if self.engine is None:
                raise SettingsError("the Temporal server does not answer. Start it.")
            return self.engine

        return Dispatcher(waiting=self.waiting, store=self.store, connect=connect)

    async def add(self, agent: str = "support_refund") -> str:
        # Temporal's server is shared by the tests of a session: each event is a new one there.
        values = {**event(f"evt-{uuid.uuid4().hex}"), "trusted": ["ticket_id"]}
        accepted = AcceptedEvent.model_validate({k: v for k, v in values.items() if k != "specversion"})
        run_id = run_id_for("acme", "support-tickets", accepted.key)
        arrival = Arrival(
            tenant="acme", endpoint="support-tickets", event=accepted, agent=agent, run_id=run_id, on_behalf_of=None
        )
        await accept(self.store, arrival)
        return run_id

    async def claim_one(self) -> WaitingRow:
        (row,) = await claim(self.waiting, most=1, lease_s=30)
        return row

    async def states(self) -> dict[str, str]:
        return {entry.run_id: entry.state for entry in await entries(self.store, "acme", state=None, most=1_000)}

    async def make_due(self) -> None:
        """Let all leases and delays run out."""
        async with self.waiting.everywhere() as cursor:
            await cursor.execute("update inbox set next_attempt_at = now()")


@pytest.fixture
async def inbox(database: DatabaseAddresses, temporal_client: Client) -> AsyncIterator[Inbox]:
    async with (
        Database(database.url, role="countersign_app") as store,
        Database(database.url, role="countersign_dispatch") as waiting,
    ):
        engine = Engine(client=temporal_client, task_queue=f"q-{uuid.uuid4().hex}", store_wait_s=300)
        yield Inbox(store=store, waiting=waiting, engine=engine)


async def test_run_is_started_with_what_the_row_says(inbox: Inbox, temporal_client: Client) -> None:
    assert inbox.engine is not None
    run_id = await inbox.add()
    assert await inbox.dispatcher.deliver_due() == 1
    assert await inbox.states() == {run_id: "started"}
    async with worker_of(temporal_client, inbox.engine.task_queue):
        handle = temporal_client.get_workflow_handle(run_id, result_type=RunRequest)
        request = await handle.result()
    assert (request.tenant, request.run_id, request.agent) == ("acme", run_id, "support_refund")
    assert request.origin.kind == "event"
    assert request.origin.event_id.startswith("/helpdesk/acme#evt-")
    attributes = (await handle.describe()).typed_search_attributes
    assert attributes[SearchAttributeKey.for_keyword("TenantId")] == "acme"
    assert attributes[SearchAttributeKey.for_keyword("AgentName")] == "support_refund"


@pytest.mark.req("E2")
@pytest.mark.parametrize("closed", [False, True], ids=["while it runs", "after it ended"])
async def test_crash_after_the_start_gives_no_second_run(
    inbox: Inbox, temporal_client: Client, *, closed: bool
) -> None:
    assert inbox.engine is not None
    run_id = await inbox.add()
    row = await inbox.claim_one()
    assert await start_run(inbox.engine, row) == Started()
    first = (await temporal_client.get_workflow_handle(run_id).describe()).run_id
    # The process dies here: the row still says received, and its lease runs out.
    if closed:
        async with worker_of(temporal_client, inbox.engine.task_queue):
            await temporal_client.get_workflow_handle(run_id).result()
    await inbox.make_due()
    assert await inbox.dispatcher.deliver_due() == 1
    assert await inbox.states() == {run_id: "started"}
    after = await temporal_client.get_workflow_handle(run_id).describe()
    assert after.run_id == first
    assert after.status is (WorkflowExecutionStatus.COMPLETED if closed else WorkflowExecutionStatus.RUNNING)


@pytest.mark.req("E2")
async def test_crash_after_the_claim_leaves_the_row_to_the_next(inbox: Inbox) -> None:
    run_id = await inbox.add()
    await inbox.claim_one()
    assert await inbox.dispatcher.deliver_due() == 0, "the lease holds"
    await inbox.make_due()
    assert await inbox.dispatcher.deliver_due() == 1
    assert await inbox.states() == {run_id: "started"}


async def test_two_dispatchers_never_hold_the_same_row(inbox: Inbox) -> None:
    for _ in range(30):
        await inbox.add()
    batches = await asyncio.gather(*(claim(inbox.waiting, most=10, lease_s=30) for _ in range(6)))
    claimed = [row.run_id for batch in batches for row in batch]
    assert len(claimed) == len(set(claimed)) == 30


async def test_row_waits_while_temporal_is_away(inbox: Inbox) -> None:
    engine, inbox.engine = inbox.engine, None
    run_id = await inbox.add()
    dispatcher = inbox.dispatcher
    for attempt in range(1, 4):
        await inbox.make_due()
        await dispatcher.deliver_due()
        (entry,) = await entries(inbox.store, "acme", state="received", most=10)
        assert (entry.attempts, entry.last_error) == (attempt, "the Temporal server does not answer. Start it.")
        assert dispatcher.trouble
    inbox.engine = engine
    await inbox.make_due()
    await dispatcher.deliver_due()
    assert await inbox.states() == {run_id: "started"}
    assert dispatcher.trouble == ""


@pytest.mark.req("E2")
async def test_hopeless_row_is_set_aside_with_an_alarm_and_can_be_driven_again(inbox: Inbox) -> None:
    engine = inbox.engine
    assert engine is not None
    # Temporal refuses a task queue name of this length however often it is sent.
    inbox.engine = replace(engine, task_queue="q" * 2_000)
    run_id, other = await inbox.add(), await inbox.add()
    await inbox.dispatcher.deliver_due()
    assert await inbox.states() == {run_id: "quarantined", other: "quarantined"}
    async with inbox.store.tenant("acme") as cursor:
        await cursor.execute("select kind, detail->>'run_id' as run_id from alarms order by alarm_id")
        alarms = await cursor.fetchall()
    assert {(row["kind"], row["run_id"]) for row in alarms} == {
        ("event_quarantined", run_id),
        ("event_quarantined", other),
    }
    await inbox.make_due()
    assert await inbox.dispatcher.deliver_due() == 0, "nothing that is set aside moves by itself"
    inbox.engine = engine
    assert await drive_again(inbox.store, "globex", None) == [], "another tenant's rows are out of reach"
    assert await drive_again(inbox.store, "acme", run_id) == [run_id]
    await inbox.dispatcher.deliver_due()
    assert await inbox.states() == {run_id: "started", other: "quarantined"}


async def test_row_that_makes_no_request_is_hopeless(inbox: Inbox) -> None:
    assert inbox.engine is not None
    await inbox.add(agent="Not An Agent")
    outcome = await start_run(inbox.engine, await inbox.claim_one())
    assert isinstance(outcome, Hopeless)
    assert "agent" in outcome.error


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_delays_grow_and_stay_bounded(attempts: int, chance: float) -> None:
    assert 0.125 <= backoff_s(attempts, chance) <= 15
    assert backoff_s(attempts + 1, chance) >= backoff_s(attempts, chance)


@pytest.mark.req("E2")
async def test_events_accepted_while_temporal_is_down_start_when_it_is_up(
    database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int], servers_folder: Path
) -> None:
    port = free_port()
    folder = servers_folder / f"temporal-{port}"
    folder.mkdir()
    with Intake(
        tmp_path,
        free_port(),
        database=database.url,
        owner_database=database.owner_url,
        temporal_address=f"127.0.0.1:{port}",
        temporal_task_queue="later",
    ) as intake:
        answers = [await asyncio.to_thread(intake.send, event(f"later-{number}")) for number in range(5)]
        assert {answer.status_code for answer in answers} == {202}
        assert {row["state"] for row in intake.rows()} == {"received"}

        def with_temporal() -> list[dict[str, object]]:
            component = temporal_component(file=folder / "temporal.db", port=port)
            with running(component, folder):
                asyncio.run(set_up_namespace(component.address, "default"))
                return asyncio.run(all_started(intake))

        rows = await asyncio.to_thread(with_temporal)
        states = intake.rows("select tenant, agent, stage, tier_ceiling from agent_states order by tenant, agent")
    assert {row["state"] for row in rows} == {"started"}
    assert len(rows) == 5
    assert [(row["tenant"], row["agent"], row["stage"]) for row in states] == [
        ("acme", "other_agent", "off"),
        ("acme", "support_refund", "gated_writes"),
        ("globex", "support_refund", "gated_writes"),
    ], "every agent of the tenants' file has a state before its first run"


async def all_started(intake: Intake) -> list[dict[str, object]]:
    async with asyncio.timeout(45):
        while True:
            rows = await asyncio.to_thread(intake.rows)
            if {row["state"] for row in rows} == {"started"}:
                return rows
            await asyncio.sleep(0.1)
