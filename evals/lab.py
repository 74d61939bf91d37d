"""A case as a real run: a tenant of its own, its event, its people, and at the end the evidence."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent, EventOrigin, RunRequest
from contracts.outcome import OutcomeReason, RunReport
from evals.cases import CaseEvent, CaseInput, Suite
from evals.evidence import Books, Evidence
from evals.observe import observe
from evals.people import People
from evals.stack import EvalStack
from evals.variant import write_variant
from incidents.export import export_text
from incidents.history import BrokenHistoryError, HistoryGoneError, RunHistory, fetch_history
from incidents.payloads import UnreadablePayloadError
from incidents.tell import tell
from settings import Settings, SettingsError
from settings.temporal import connect
from settings.tenants import InitialState, Tenant, TenantsFile
from store.agents import ensure_agent_states
from store.database import Database, StoreDown
from store.inbox import Arrival, accept
from workflows.agent_run import AgentRun

__all__ = ["CouldNotRun", "Lab", "open_lab"]

_ENDPOINT = "evals"
_FAULTS_OF_THE_STACK = (StoreDown, RPCError, httpx.TransportError, OSError)
"""Says nothing about the agent: the case is run once more, and then reported as not run."""
_STACK_REASONS = frozenset({OutcomeReason.STORE_DOWN, OutcomeReason.NO_MODEL})
_STORE_WAIT_S = 20
_POLL_S = 0.1

Handle = WorkflowHandle[AgentRun, RunReport]


class CouldNotRun(Exception):  # noqa: N818 - said of the case
    """The stack under the case failed, not the agent: nothing was shown either way."""


class Lab:
    """Runs cases of one agent."""

    def __init__(
        self,
        agent: str,
        stack: EvalStack,
        database: Database,
        client: Client,
        people: People,
        histories: Path | None,
    ) -> None:
        self._agent = agent
        self._stack = stack
        self._database = database
        self._client = client
        self._people = people
        self._histories = histories
        self.queues: dict[int | None, str] = {}
        """Task queue by the case's own expiry of approvals; None: the agent as it is."""

    async def perform(self, case: CaseInput) -> Evidence:
        """Run a case in a fresh tenant.

        Raises:
            CouldNotRun: the stack failed.
            WorldError: the case describes a world that cannot be.
        """
        tenant = f"case-{secrets.token_hex(8)}"
        try:
            await self._settle(tenant, case)
            for event in case.earlier:
                handle = await self._start(tenant, case, event)
                if await self._until_end(tenant, handle, case, with_votes=False) is None:
                    raise CouldNotRun(f"the run of an earlier event did not end within {case.limit_s} s")
            began_s = time.monotonic()
            handle = await self._start(tenant, case, case.event)
            report = await self._until_end(tenant, handle, case, with_votes=bool(case.votes))
            if report is not None and report.reason in _STACK_REASONS:
                raise CouldNotRun(f"the run ended with {report.reason.value}")
            duration_s = time.monotonic() - began_s
            books = await self._stack.world.books(tenant)
            return await self._observe(tenant, handle.id, books, duration_s)
        except _FAULTS_OF_THE_STACK as error:
            raise CouldNotRun(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error

    async def _observe(self, tenant: str, run_id: str, books: Books, duration_s: float) -> Evidence:
        try:
            history = await fetch_history(self._client, run_id)
            if self._histories is not None:
                await asyncio.to_thread(_keep, self._histories, history)
            return observe(tell(history), tenant=tenant, books=books, duration_s=duration_s)
        except (BrokenHistoryError, HistoryGoneError, UnreadablePayloadError) as error:
            # Nothing was shown: that fails the case, and is not the stack's fault.
            return Evidence(run_id=run_id, tenant=tenant, gaps=(str(error),), books=books, duration_s=duration_s)

    async def _settle(self, tenant: str, case: CaseInput) -> None:
        await self._stack.world.make(tenant, case.world)
        state = InitialState(stage=case.stage.value, enabled=True, tier_ceiling=case.tier_ceiling)
        await ensure_agent_states(
            self._database, TenantsFile(tenants={tenant: Tenant(name="A case", agents={self._agent: state})})
        )
        await self._people.arrive(tenant, case.votes)

    async def _start(self, tenant: str, case: CaseInput, sent: CaseEvent) -> Handle:
        """Accept the event and start its run, as the intake does."""
        event = AcceptedEvent(
            id=secrets.token_hex(8), source=sent.source, type=sent.type, data=sent.data, trusted=sent.trusted
        )
        run_id = run_id_for(tenant, _ENDPOINT, event.key)
        await accept(
            self._database,
            Arrival(
                tenant=tenant, endpoint=_ENDPOINT, event=event, agent=self._agent, run_id=run_id, on_behalf_of=None
            ),
        )
        request = RunRequest(
            tenant=tenant,
            run_id=run_id,
            agent=self._agent,
            origin=EventOrigin(endpoint=_ENDPOINT, event_id=event.key, body_digest=event.body_digest),
            store_wait_s=_STORE_WAIT_S,
            model_wait_s=case.limit_s,
        )
        return await self._client.start_workflow(
            AgentRun.run,
            request,
            id=run_id,
            task_queue=self.queues[case.approval_expires_s],
            # A run that the case has given up must not go on beside the others.
            execution_timeout=timedelta(seconds=case.limit_s * 2),
        )

    async def _until_end(self, tenant: str, handle: Handle, case: CaseInput, *, with_votes: bool) -> RunReport | None:
        """The report, or None for a run that did not end in time and was stopped."""
        over = asyncio.Event()
        deciding = asyncio.create_task(self._decide(tenant, handle.id, case, over)) if with_votes else None
        try:
            async with asyncio.timeout(case.limit_s):
                return await handle.result()
        except TimeoutError:
            await handle.terminate("the case's time is over")
            return None
        except WorkflowFailureError:
            # A run never fails by design; what its history shows is for the evaluators.
            return None
        finally:
            over.set()
            if deciding is not None:
                await deciding

    async def _decide(self, tenant: str, run_id: str, case: CaseInput, over: asyncio.Event) -> None:
        """Cast the votes of each request as it opens."""
        seen: list[str] = []
        while not over.is_set():
            for request_id in await self._people.open_requests(tenant, run_id):
                if request_id in seen:
                    continue
                seen.append(request_id)
                for vote in case.votes:
                    if vote.request == len(seen):
                        await self._people.decide(tenant, request_id, vote)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await over.wait()


@asynccontextmanager
async def open_lab(suite: Suite, stack: EvalStack, histories: Path | None = None) -> AsyncGenerator[Lab]:
    """A lab with every worker that the suite's cases need. `histories`: folder in which each run's history is kept.

    Raises:
        CouldNotRun: the stack cannot be used.
    """
    settings = stack.settings
    async with AsyncExitStack() as held:
        try:
            client = await connect(settings)
            database = await held.enter_async_context(
                Database(settings.database_address(), role=settings.database_role)
            )
            people = People(settings, database, client)
            await people.publish_key()
            lab = Lab(suite.agent, stack, database, client, people, histories)
            folder = Path(held.enter_context(TemporaryDirectory(prefix="countersign-evals-")))
            for expires_s in {case.inputs.approval_expires_s for case in suite.cases}:
                own = _settings_of(settings, suite.agent, expires_s, folder)
                await held.enter_async_context(stack.working(own))
                lab.queues[expires_s] = own.temporal_task_queue
        except (*_FAULTS_OF_THE_STACK, SettingsError) as error:
            raise CouldNotRun(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
        yield lab


def _keep(folder: Path, history: RunHistory) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{history.run_id}.json").write_text(export_text(history), encoding="utf-8")


def _settings_of(settings: Settings, agent: str, expires_s: int | None, folder: Path) -> Settings:
    queue = f"evals-{secrets.token_hex(6)}"
    agents_dir = settings.agents_dir
    if expires_s is not None:
        agents_dir = folder / str(expires_s)
        write_variant(settings.agents_dir / agent, agents_dir / agent, expires_s)
    return settings.model_copy(update={"temporal_task_queue": queue, "agents_dir": agents_dir})
