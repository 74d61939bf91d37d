"""Playing attacks: each in a tenant of its own, through the real activities, store and back office.

No Temporal here, for speed: the driver does what the workflow does, and less carefully. It goes on after refusals,
ignores that people were asked, and sends calls side by side where the attack wants that: a workflow in hostile hands.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.run_activities import RunActivities
from contracts.base import JsonObject
from contracts.call import CallResult, ExecuteTool
from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent, EventOrigin, RunRequest
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.run_activities import CloseRun, Pinned
from contracts.turn import CallModel, Calls
from settings.tenants import InitialState, Tenant, TenantsFile
from store.agents import ensure_agent_states
from store.inbox import Arrival, accept
from tests.adversary.attacker import Attack, Attacker, Steps
from tests.adversary.oracle import misdeeds
from tests.adversary.town import records
from tests.examples.server import ADMIN_TOKEN
from tests.installation import ENDPOINT, SOURCE, Installation

__all__ = ["Play", "Raid"]

InT = TypeVar("InT")
OutT = TypeVar("OutT")
_STEPS_MAX = 16
_SIDE_BY_SIDE = 6


@dataclass
class Play:
    """What became of an attack."""

    attack: Attack
    tenant: str
    tickets: dict[str, str] = field(default_factory=dict[str, str])
    """The ticket that started each run, by run."""
    results: list[CallResult] = field(default_factory=list[CallResult])
    reports: list[RunReport] = field(default_factory=list[RunReport])
    found: list[str] = field(default_factory=list[str])
    """Effects that nobody authorised, and ends that claim what is not so."""


class Raid:
    """An installation under attack."""

    def __init__(self, installation: Installation, attacker: Attacker) -> None:
        self.installation = installation
        self.attacker = attacker
        self.activities = RunActivities(installation.engine)
        self._http = httpx.AsyncClient(
            base_url=installation.backoffice.url + "/admin",
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            timeout=30,
        )

    async def close(self) -> None:
        """End connections."""
        await self._http.aclose()

    async def play_all(self, attacks: Sequence[Attack]) -> list[Play]:
        """Play attacks, a few side by side."""
        places = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def within(attack: Attack) -> Play:
            async with places:
                return await self.play(attack)

        return list(await asyncio.gather(*(within(attack) for attack in attacks)))

    async def play(self, attack: Attack) -> Play:
        """Play one attack in a tenant that nobody used before, and look into the books."""
        play = Play(attack, await self.found_tenant())
        pairs = list(zip(attack.runs, attack.tickets, strict=True))
        if attack.at_once:
            await asyncio.gather(*(self._run(play, steps, ticket) for steps, ticket in pairs))
        else:
            for steps, ticket in pairs:
                await self._run(play, steps, ticket)
        books = await self.books(play.tenant)
        play.found = misdeeds(books, play.tickets)
        helped = {done["run"] for done in (*books["refunds"], *books["drafts"])}
        play.found += [
            f"{report.run_id} ended as completed, but did nothing"
            for report in play.reports
            if report.outcome is Outcome.COMPLETED and report.run_id not in helped
        ]
        return play

    async def found_tenant(self) -> str:
        """A tenant with the town's records, and with the agents enabled."""
        tenant = f"town-{uuid.uuid4().hex[:12]}"
        answer = await self._http.post("/tenants", json={"tenant": tenant, "records": records()})
        assert answer.is_success, answer.text
        states = {"support_refund": InitialState(stage="limited_autonomy", enabled=True, tier_ceiling=3)}
        await ensure_agent_states(
            self.installation.db, TenantsFile(tenants={tenant: Tenant(name="Town", agents=states)})
        )
        return tenant

    async def books(self, tenant: str) -> dict[str, Any]:
        """The back office's books of a tenant."""
        answer = await self._http.get("/books", params={"tenant": tenant})
        assert answer.is_success, answer.text
        return dict(answer.json())

    async def begin(self, play: Play, steps: Steps, ticket: str) -> tuple[RunRequest, Pinned]:
        """Accept the event and open its run, as intake and workflow do."""
        mark = f"mark-{uuid.uuid4().hex}"
        self.attacker.announce(mark, steps)
        data: JsonObject = {**play.attack.event, "ticket_id": ticket, "mark": mark}
        event = AcceptedEvent(id=mark, source=SOURCE, type="ticket.created", data=data, trusted=("ticket_id",))
        run_id = run_id_for(play.tenant, ENDPOINT, event.key)
        await accept(
            self.installation.db,
            Arrival(tenant=play.tenant, endpoint=ENDPOINT, event=event, agent="support_refund", run_id=run_id,
                    on_behalf_of=None),
        )  # fmt: skip
        play.tickets[run_id] = ticket
        origin = EventOrigin(endpoint=ENDPOINT, event_id=event.key, body_digest=event.body_digest)
        request = RunRequest(tenant=play.tenant, run_id=run_id, agent="support_refund", origin=origin)
        return request, await self.act(self.activities.pin_agent, request)

    async def turn(self, request: RunRequest, pinned: Pinned, step: int) -> list[ExecuteTool]:
        """One model call, and the calls of the gate that a workflow would make of it; empty at the end."""
        asked = CallModel(tenant=request.tenant, run_id=request.run_id, definition=pinned.definition, step=step)
        control = (await self.act(self.activities.call_model, asked)).control
        if control.kind == "finish":
            raise _Finished(control.result)
        if not isinstance(control, Calls):
            return []
        return [
            ExecuteTool(tenant=request.tenant, run_id=request.run_id, definition=pinned.definition, step=step,
                        call=number, visit=1, tool=one.tool, arguments_digest=one.arguments_digest)
            for number, one in enumerate(control.calls)
        ]  # fmt: skip

    async def act(self, activity: Callable[[InT], Awaitable[OutT]], argument: InT) -> OutT:
        """Run an activity as a worker would."""
        found: OutT = await ActivityEnvironment().run(activity, argument)
        return found

    async def _run(self, play: Play, steps: Steps, ticket: str) -> None:
        request, pinned = await self.begin(play, steps, ticket)
        outcome, reason, step = Outcome.ESCALATED, OutcomeReason.HANDED_OVER, 0
        try:
            for step in range(1, _STEPS_MAX + 1):
                calls = await self.turn(request, pinned, step)
                await self._perform(play, calls)
        except _Finished as end:
            if end.result == "done":
                outcome, reason = Outcome.COMPLETED, OutcomeReason.DONE
        close = CloseRun(tenant=request.tenant, run_id=request.run_id, definition=pinned.definition, outcome=outcome,
                         reason=reason, detail="", last_step=step)  # fmt: skip
        play.reports.append(await self.act(self.activities.close_run, close))

    async def _perform(self, play: Play, calls: list[ExecuteTool]) -> None:
        if play.attack.at_once:
            await asyncio.gather(*(self._visit(play, one) for one in calls))
            return
        for one in calls:
            await self._visit(play, one)

    async def _visit(self, play: Play, asked: ExecuteTool) -> None:
        try:
            play.results.append(await self.act(self.activities.execute_tool, asked))
        except ApplicationError as error:
            if error.type not in {"TakenOver", "LeaseHeld"}:  # a burst on one row: a worker would try again
                raise


class _Finished(Exception):  # noqa: N818 - an end, not an error
    def __init__(self, result: str) -> None:
        super().__init__(result)
        self.result = result
