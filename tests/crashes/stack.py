"""A stack of processes for crash tests: own Postgres, own Temporal server, own back office, one worker process."""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import JsonObject
from contracts.outcome import RunReport
from contracts.vote import SignedVote, VoteAnswer, VotePending
from settings.environment import child_environment, plain_names
from store.database import StoreDown
from store.votes import StoredVote
from tests.crashes.holds import Holds
from tests.crashes.points import Kind
from tests.crashes.victims import Victim
from tests.examples.server import ROOT, Server
from tests.installation import Installation, installed, write_key
from workers.embedded.component import Component
from workers.embedded.database import create_application_database
from workers.embedded.namespace import set_up_namespace
from workers.embedded.ports import some_free
from workers.embedded.postgres import DATABASE, LOGIN, PostgresServer
from workers.embedded.probe import HttpProbe
from workers.embedded.temporal import temporal_component
from workflows.agent_run import AgentRun

__all__ = ["CrashStack", "Run", "crash_stack"]

T = TypeVar("T")
# A killed server loses nothing that the kernel has; what it answered as committed must be there after kill -9.
POSTGRES_OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=200")
TICKETS = 400
HANG_S = 3
STORE_WAIT_S = 60
END_LIMIT_S = 150.0
POLL_S = 0.1
_ORIGINALS = {"small": ("ORD-1001", "TIC-2001"), "large": ("ORD-1007", "TIC-2006")}


@dataclass(frozen=True)
class Run:
    """A started run with the order that is its own."""

    kind: Kind
    ticket_id: str
    order_id: str
    handle: WorkflowHandle[Any, RunReport]

    @property
    def run_id(self) -> str:
        """Id of the workflow."""
        return self.handle.id


@dataclass
class CrashStack:
    """Handles on every process, and the few verbs that crash tests need."""

    postgres: Victim
    temporal: Victim
    worker: Victim
    backoffice: Server
    installation: Installation
    holds: Holds
    owner_url: str
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _cast: dict[str, StoredVote] = field(default_factory=dict[str, StoredVote])

    async def begin(self, kind: Kind, *, hold: str = "", store_wait_s: int = STORE_WAIT_S) -> Run:
        """Start a run on a ticket that no other run has, held at a point."""
        number = next(self._numbers)
        order_id, ticket_id = (f"{name}-{number}" for name in _ORIGINALS[kind])
        event_id = f"event-{ticket_id}-{number}"
        if hold:
            self.holds.arm(self.installation.run_id_of(event_id), hold)
        handle = await through_outages(
            lambda: self.installation.start({"ticket_id": ticket_id}, event_id=event_id, store_wait_s=store_wait_s)
        )
        return Run(kind, ticket_id, order_id, handle)

    async def vote_unheard(self, run: Run) -> None:
        """Cast a vote and signal it, without waiting for the run's answer."""
        request = await self.installation.open_request(run.handle)
        _, signed, stored = await self.installation.cast(run.handle, request, "lena")
        self._cast[run.run_id] = stored
        await run.handle.signal(AgentRun.vote, signed)

    async def approve(self, run: Run) -> None:
        """Decide a run's request as the form and its dispatcher do, through whatever outage there is."""
        made = self.installation
        if run.run_id not in self._cast:
            request = await through_outages(lambda: made.open_request(run.handle))
            _, _, self._cast[run.run_id] = await through_outages(lambda: made.cast(run.handle, request, "lena"))
        stored = self._cast[run.run_id]
        signed = SignedVote(jws=stored.jws)
        answer: VoteAnswer = VotePending()
        while isinstance(answer, VotePending):
            try:
                answer = await through_outages(lambda: made.signal(run.handle, signed, stored.decision_id))
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return  # the run counted the vote and ended while it was sent again

    def another_worker(self) -> Victim:
        """A second worker process on the same task queue."""
        return Victim(worker_component(self.installation, "worker-2", some_free()), self.worker.log.parent)

    async def end_of(self, run: Run) -> RunReport:
        """The run's report, once it has ended."""
        async with asyncio.timeout(END_LIMIT_S):
            return await through_outages(run.handle.result)

    def refunds_of(self, run: Run) -> list[JsonObject]:
        """Refunds of the run's order in the books, without the seeded one."""
        return [refund for refund in self.installation.refunds() if refund["order_id"] == run.order_id]


async def through_outages(work: Callable[[], Awaitable[T]], limit_s: float = END_LIMIT_S) -> T:
    """Try again while Temporal or the store is away."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return await work()
        except (RPCError, StoreDown, TimeoutError) as error:
            if time.monotonic() > deadline or getattr(error, "status", None) is RPCStatusCode.NOT_FOUND:
                raise
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def crash_stack(folder: Path) -> AsyncGenerator[CrashStack]:
    """Start everything, and end it.

    Args:
        folder: its path must be short: the socket of Postgres lies below it.
    """
    server = PostgresServer.at(folder / "postgres", POSTGRES_OPTIONS)
    port = some_free()
    postgres = Victim(server.component(lambda _text: None), folder)
    temporal = Victim(temporal_component(file=folder / "temporal.db", port=port), folder)
    private, public = write_key(folder / "keys", "credential")
    backoffice = Server(
        folder, str(public), BACKOFFICE_HANG_S=str(HANG_S), BACKOFFICE_SEED_FILE=str(_seed(folder / "seed.yaml"))
    )
    worker: Victim | None = None
    try:
        temporal.spawn()
        await postgres.start()
        create_application_database(server)
        backoffice.start()
        await temporal.ready()
        await set_up_namespace(temporal.component.address, "default")
        async with installed(
            folder, server.url(DATABASE, LOGIN), temporal.component.address, backoffice, private, worker=False,
            worker_port=some_free(), limits_file=_limits(folder / "limits.yaml"),
        ) as made:  # fmt: skip
            holds = Holds(server.url(DATABASE))
            holds.install()
            worker = Victim(worker_component(made, "worker", made.settings.worker_port), folder)
            await worker.start()
            yield CrashStack(postgres, temporal, worker, backoffice, made, holds, server.url(DATABASE))
    finally:
        for victim in (worker, temporal, postgres):
            if victim is not None:
                with suppress(Exception):
                    victim.stop()
        if backoffice.is_running():
            backoffice.kill()
        backoffice.http.close()


def worker_component(made: Installation, name: str, port: int) -> Component:
    """The worker as `countersign up` starts it: with its own secrets and no others."""
    address = f"http://127.0.0.1:{port}"
    settings = made.settings.model_copy(update={"worker_port": port})
    names = (*plain_names(), "database_url", "credential_key_file")
    return Component(
        name=name,
        argv=(sys.executable, "-m", "workers.worker"),
        environment={**child_environment(settings, names), "PYTHONUNBUFFERED": "1"},
        folder=ROOT,
        probe=HttpProbe(url=f"{address}/readyz"),
        address=address,
        version="",
    )


def _limits(file: Path) -> Path:
    """The installation's, with days that are long enough for every run of all tests."""
    document = yaml.safe_load((ROOT / "settings/limits.yaml").read_text(encoding="utf-8"))
    acme = document["tenants"]["acme"]
    for of_day in (acme["day"], *acme["tools"].values()):
        of_day["money_minor"] = {currency: amount * 100 for currency, amount in of_day["money_minor"].items()}
    file.write_text(yaml.safe_dump(document))
    return file


def _seed(file: Path) -> Path:
    """A back office with a ticket and an order for every run: the deed of one is not the deed of another."""
    document = yaml.safe_load((ROOT / "examples/backoffice/seed.yaml").read_text(encoding="utf-8"))
    acme = document["tenants"]["acme"]
    for order_id, ticket_id in _ORIGINALS.values():
        order = next(one for one in acme["orders"] if one["order_id"] == order_id)
        ticket = next(one for one in acme["tickets"] if one["ticket_id"] == ticket_id)
        for number in range(TICKETS):
            payment = {**order["payment"], "payment_id": f"{order['payment']['payment_id']}-{number}"}
            refunds = [{**one, "refund_id": f"{one['refund_id']}-{number}"} for one in order.get("refunds", ())]
            copy = {**order, "order_id": f"{order_id}-{number}", "payment": payment}
            acme["orders"].append({**copy, "refunds": refunds} if refunds else copy)
            acme["tickets"].append({**ticket, "ticket_id": f"{ticket_id}-{number}", "order_id": f"{order_id}-{number}"})
    file.write_text(yaml.safe_dump(document))
    return file
