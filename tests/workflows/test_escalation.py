"""Requests that nobody decides: reminded, escalated, expired, by durable timers. The clock of each run is skipped."""

import dataclasses
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import TimeSkipper

from contracts.audit import ApprovalEscalated
from contracts.base import JsonObject
from contracts.command import CommandAccepted, CommandAnswer, Pause, Resume
from contracts.outcome import Outcome, OutcomeReason
from contracts.vote import Verdict, VoteAccepted, VoteRefusal, VoteRefused
from store.approvals import StoredRequest, find_request
from tests.conftest import DatabaseAddresses, running, some_free
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.notify.receivers import Hooks, receiving
from tests.operating import Handle, command_to, obeyed, paused, soon
from tests.workflows.variants import agents_with
from workers.embedded.temporal import temporal_component
from workers.run_worker import run_worker
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("A6")

HOUR = 3_600
ASKS_LEAD: JsonObject = {"ticket_id": "TIC-2006"}
ASKS_TWO_OF_FINANCE: JsonObject = {"ticket_id": "TIC-2002"}
LADDER = """
rungs:
  - {id: one-support-lead, needs: [{group: support-leads, count: 1}]}
  - {id: one-finance, needs: [{group: finance, count: 1}]}
  - {id: two-finance, needs: [{group: finance, count: 2}]}
groups:
"""
LEAD_AND_FINANCE = """
rungs:
  - id: one-support-lead
    needs: [{group: support-leads, count: 1}, {group: finance, count: 1}]
  - {id: two-finance, needs: [{group: finance, count: 2}]}
groups:
"""
BOARD_FOR_BOTH = """
  support-leads: {escalates_to: board, escalate_after_s: 1}
  finance: {escalates_to: board, escalate_after_s: 2}
"""
CHAIN = """
  support-leads: {escalates_to: finance, escalate_after_s: 7200}
  finance: {escalates_to: board, escalate_after_s: 14400}
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an installation is made."""

    folder: Path
    database: str
    backoffice: Server
    credential_key: Path
    hooks: Hooks

    @asynccontextmanager
    async def installed(
        self, temporal: str, groups: str, *, rungs: str = LADDER, sla_s: int = HOUR, worker: bool = True
    ) -> AsyncGenerator[Installation]:
        """An installation whose ladder has these groups, with a channel for each group."""
        (self.folder / "url").write_text(self.hooks.url)
        channels = ", ".join(
            f"{{name: {name}, kind: slack, url: 'file:url', groups: [{name}]}}"
            for name in ("support-leads", "finance", "board")
        )
        (self.folder / "notify.yaml").write_text(f"tenants: {{acme: [{channels}]}}")
        (self.folder / "ladder.yaml").write_text(rungs + groups)
        times = {"payments.issue_refund": {"sla_s": sla_s, "expires_s": 24 * HOUR}}
        async with installed(
            self.folder, self.database, temporal, self.backoffice, self.credential_key, worker=worker,
            notify_file=self.folder / "notify.yaml", ladder_file=self.folder / "ladder.yaml",
            agents_dir=agents_with(self.folder, approvals=times),
        ) as installation:  # fmt: skip
            yield installation

    def told(self) -> list[str]:
        """Subjects of the notices, in their order."""
        return [json.loads(body)["text"].splitlines()[0].strip("*") for _, body in self.hooks.requests]


@pytest.fixture
def place(
    tmp_path: Path, database: DatabaseAddresses, backoffice: Server, credential_key: tuple[Path, Path]
) -> Iterator[Place]:
    with receiving() as hooks:
        yield Place(tmp_path, database.url, backoffice, credential_key[0], hooks)


@pytest.fixture(scope="module")
def impatient_temporal(servers_folder: Path) -> Iterator[str]:
    """A server that suggests to continue as new after few events, and skips time."""
    plain = temporal_component(file=servers_folder / "impatient-skip.db", port=some_free(), time_skipping=True)
    suggestion = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=60")
    component = dataclasses.replace(plain, argv=(*plain.argv, *suggestion))
    with running(component, servers_folder):
        yield component.address


async def passed(installation: Installation, handle: Handle, hours: float) -> None:
    """Let so many hours pass for the run."""
    await TimeSkipper(installation.client).fast_forward(handle, timedelta(hours=hours))


async def ordered(installation: Installation, handle: Handle, order: Pause) -> CommandAnswer:
    """An order that is given at the run's own time."""
    now = int((await TimeSkipper(installation.client).get_current_time(handle)).timestamp())
    return await obeyed(installation, handle, order, issued_at=now, authenticated_at=now, expires_at=now + 600)


async def stored(installation: Installation, request: StoredRequest) -> StoredRequest:
    async with installation.db.tenant(TENANT) as cursor:
        found = await find_request(cursor, TENANT, request.request_id)
    assert found is not None
    return found


async def escalated_to(installation: Installation, request: StoredRequest, *groups: str) -> None:
    async def look() -> bool | None:
        return (await stored(installation, request)).escalated_to == groups or None

    await soon(look, f"the request was not escalated to {groups}")


async def escalations_in_chain(installation: Installation, handle: Handle) -> list[str]:
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "select body from audit where run_id = %s and kind = 'approval_escalated' order by seq", (handle.id,)
        )
        return [ApprovalEscalated.model_validate_json(row["body"]).to for row in await cursor.fetchall()]


async def test_an_undecided_request_is_reminded_escalated_along_the_chain_and_expires(
    place: Place, temporal_address: str
) -> None:
    async with place.installed(temporal_address, CHAIN) as installation:
        handle = await installation.start(ASKS_LEAD)
        request = await installation.open_request(handle)
        at = int(request.opened_at.timestamp())
        moments = [(one.to, one.at - at) for one in request.opened().escalations]
        assert moments == [("finance", 2 * HOUR), ("board", 6 * HOUR)]
        await passed(installation, handle, 1.5)
        assert (await stored(installation, request)).escalated_to == ()
        await passed(installation, handle, 1)
        await escalated_to(installation, request, "finance")
        await passed(installation, handle, 4)
        await escalated_to(installation, request, "finance", "board")
        await passed(installation, handle, 24)
        report = await handle.result()
        assert (report.outcome, report.reason) == (Outcome.ESCALATED, OutcomeReason.APPROVAL_EXPIRED)
        assert await escalations_in_chain(installation, handle) == ["finance", "board"]
    told = place.told()
    said = [
        subject.removesuffix(": tier 2, can be taken back").rpartition(" ends ")[0].rstrip(",") for subject in told[1:]
    ]
    assert told[0].startswith("Decide by ")
    assert said[:3] == ["Overdue", "Escalated to finance", "Escalated to board"]
    # That it expired is told to all three groups that could have decided.
    assert told[4:] == ["Expired undecided: tier 2, can be taken back"] * 3
    assert place.backoffice.refunds(TENANT) == []


async def test_timers_outlive_the_worker_and_a_pause(place: Place, temporal_address: str) -> None:
    async with place.installed(temporal_address, CHAIN, worker=False) as installation:
        async with run_worker(installation.client, installation.engine):
            handle = await installation.start(ASKS_LEAD)
            request = await installation.open_request(handle)
            await passed(installation, handle, 1.5)
        # Nobody works while the moment of the first escalation passes.
        async with run_worker(installation.client, installation.engine):
            await passed(installation, handle, 1)
            await escalated_to(installation, request, "finance")
            assert await ordered(installation, handle, Pause()) == CommandAccepted()
        async with run_worker(installation.client, installation.engine):
            await passed(installation, handle, 4)
            await escalated_to(installation, request, "finance", "board")
            await passed(installation, handle, 24)
            report = await handle.result()
    # An operator's pause stops no clock: nobody may decide later than people were told.
    assert report.reason is OutcomeReason.APPROVAL_EXPIRED


async def test_a_group_that_comes_in_for_two_others_is_told_twice_even_while_nothing_arrives(
    place: Place, temporal_address: str
) -> None:
    place.hooks.status = 500
    async with place.installed(temporal_address, BOARD_FOR_BOTH, rungs=LEAD_AND_FINANCE, sla_s=1) as installation:
        handle = await installation.start(ASKS_LEAD)
        request = await installation.open_request(handle)

        async def told_twice() -> bool | None:
            events = (await handle.fetch_history()).events
            sent = [one.activity_task_scheduled_event_attributes.activity_id for one in events]
            return sum("-escalated-board" in activity_id for activity_id in sent) == 2 or None

        await soon(told_twice, "the board was not told for both groups")
        assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
        assert isinstance(await installation.vote(handle, request, "fay"), VoteAccepted)
        assert (await handle.result()).outcome is Outcome.COMPLETED


@pytest.mark.long
async def test_a_run_that_continued_as_new_escalates(place: Place, impatient_temporal: str) -> None:
    async with place.installed(impatient_temporal, CHAIN) as installation:
        handle = await installation.start(ASKS_LEAD)
        assert await obeyed(installation, handle, Pause()) == CommandAccepted()
        await paused(handle)
        first = (await handle.describe()).run_id
        noise = installation.signer.sign_command(command_to(handle.id, Pause(), reason=""))

        async def moved_on() -> str | None:
            await handle.signal(AgentRun.command, noise)
            now = (await handle.describe()).run_id
            return now if now != first else None

        await soon(moved_on, "the run did not continue as new")
        assert await obeyed(installation, handle, Resume()) == CommandAccepted()
        request = await installation.open_request(handle)
        await passed(installation, handle, 2.5)
        await escalated_to(installation, request, "finance")


async def test_the_next_group_decides_from_its_moment_on_and_the_gate_agrees(
    place: Place, temporal_address: str
) -> None:
    async with place.installed(temporal_address, "  support-leads: {escalates_to: finance, escalate_after_s: 2}\n",
                               sla_s=1) as installation:  # fmt: skip
        handle = await installation.start(ASKS_LEAD)
        request = await installation.open_request(handle)
        (escalation,) = request.opened().escalations
        early = await installation.vote(handle, request, "fay", voted_at=escalation.at - 1)
        assert early == VoteRefused(refusal=VoteRefusal.NOT_YET)
        await escalated_to(installation, request, "finance")
        assert isinstance(await installation.vote(handle, request, "fay"), VoteAccepted)
        assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(place.backoffice.refunds(TENANT)) == 1


async def test_two_seats_of_an_escalated_group_need_two_persons(place: Place, temporal_address: str) -> None:
    groups = "  finance: {escalates_to: support-leads, escalate_after_s: 1}\n"
    async with place.installed(temporal_address, groups, sla_s=1) as installation:
        handle = await installation.start(ASKS_TWO_OF_FINANCE)
        request = await installation.open_request(handle)
        await escalated_to(installation, request, "support-leads")
        assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
        again = await installation.vote(handle, request, "fay", same_person_as="lena")
        assert again == VoteRefused(refusal=VoteRefusal.SAME_PERSON)
        assert isinstance(await installation.vote(handle, request, "fay"), VoteAccepted)
        assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(place.backoffice.refunds(TENANT)) == 1


async def test_the_next_group_may_deny_once_it_is_its_turn(place: Place, temporal_address: str) -> None:
    groups = "  support-leads: {escalates_to: finance, escalate_after_s: 1}\n"
    async with place.installed(temporal_address, groups, sla_s=1) as installation:
        handle = await installation.start(ASKS_LEAD)
        request = await installation.open_request(handle)
        await escalated_to(installation, request, "finance")
        denied = await installation.vote(handle, request, "fay", verdict=Verdict.DENY, reason="not this one")
        assert isinstance(denied, VoteAccepted)
        await handle.result()
        assert (await stored(installation, request)).state == "denied"
    assert place.backoffice.refunds(TENANT) == []
