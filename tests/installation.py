"""A whole installation for tests: real store, real Temporal, real back office, a worker in this process."""

import asyncio
import base64
import json
import os
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from joserfc.jwk import OKPKey
from temporalio.client import Client, WorkflowHandle

from activities.engine import Engine
from approvals.signing import VoteSigner
from contracts.agent import Stage
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest, run_id_for
from contracts.event import AcceptedEvent, EventOrigin, RunRequest
from contracts.outcome import RunReport
from contracts.snapshot import RunSnapshot
from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted, VoteAnswer, VotePending, VoteRefused
from settings import Settings
from settings.temporal import connect
from settings.tenants import InitialState, Tenant, TenantsFile
from store.accounts import NewAccount, add_account
from store.agents import ensure_agent_states
from store.approvals import StoredRequest, find_request
from store.database import Database
from store.inbox import Arrival, accept
from store.votes import StoredVote, cast_vote, record_answer
from tests.examples.server import Server
from workers.run_worker import open_engine, run_worker
from workflows.agent_run import AgentRun

__all__ = ["Installation", "installed", "write_key"]

TENANT = "acme"
ENDPOINT = "support-tickets"
SOURCE = "/helpdesk/acme"
PASSWORD = "correct horse battery staple"
WAIT_S = 60.0


def write_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A private Ed25519 JWK and its public key set."""
    folder.mkdir(parents=True, exist_ok=True)
    key = OKPKey.generate_key("Ed25519")
    key.ensure_kid()
    private, public = folder / f"{name}.jwk", folder / f"{name}.jwks.json"
    private.write_text(json.dumps(key.as_dict(private=True)))
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return private, public


@dataclass
class Installation:
    """Handles on everything, and the few verbs that tests need."""

    settings: Settings
    engine: Engine
    client: Client
    backoffice: Server
    signer: VoteSigner
    people: dict[str, Vote] = field(default_factory=dict[str, Vote])

    @property
    def db(self) -> Database:
        """The application's database."""
        return self.engine.db

    @staticmethod
    def run_id_of(event_id: str) -> str:
        """Id of the run that an event starts."""
        return run_id_for(TENANT, ENDPOINT, f"{SOURCE}#{event_id}")

    async def start(
        self, data: JsonObject, *, agent: str = "support_refund", trusted: tuple[str, ...] = ("ticket_id",),
        event_id: str = "", on_behalf_of: str | None = None, **request: int,
    ) -> WorkflowHandle[AgentRun, RunReport]:  # fmt: skip
        """Accept an event and start its run, as the intake does."""
        asked = await self.accepted(
            data, agent=agent, trusted=trusted, event_id=event_id, on_behalf_of=on_behalf_of, **request
        )
        return await self.client.start_workflow(
            AgentRun.run, asked, id=asked.run_id, task_queue=self.settings.temporal_task_queue
        )

    async def accepted(
        self, data: JsonObject, *, agent: str = "support_refund", trusted: tuple[str, ...] = ("ticket_id",),
        event_id: str = "", on_behalf_of: str | None = None, **request: int,
    ) -> RunRequest:  # fmt: skip
        """Accept an event; what its run is to be started with."""
        event = AcceptedEvent(
            id=event_id or uuid.uuid4().hex, source=SOURCE, type="ticket.created", data=data, trusted=trusted
        )
        run_id = run_id_for(TENANT, ENDPOINT, event.key)
        await accept(
            self.db,
            Arrival(
                tenant=TENANT, endpoint=ENDPOINT, event=event, agent=agent, run_id=run_id, on_behalf_of=on_behalf_of
            ),
        )
        origin = EventOrigin(endpoint=ENDPOINT, event_id=event.key, body_digest=event.body_digest)
        return RunRequest.model_validate(
            {"tenant": TENANT, "run_id": run_id, "agent": agent, "origin": origin, "store_wait_s": 20,
             "model_wait_s": 20, "on_behalf_of": on_behalf_of, **request}
        )  # fmt: skip

    async def open_request(self, handle: WorkflowHandle[AgentRun, RunReport]) -> StoredRequest:
        """The approval request that a run waits for."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            snapshot: RunSnapshot = await handle.query(AgentRun.snapshot)
            if snapshot.open_requests:
                async with self.db.tenant(TENANT) as cursor:
                    found = await find_request(cursor, TENANT, snapshot.open_requests[0])
                if found is not None:
                    return found
            await asyncio.sleep(0.05)
        raise TimeoutError(f"{handle.id} opened no approval request")

    async def vote(
        self, handle: WorkflowHandle[AgentRun, RunReport], request: StoredRequest, person: str, *,
        verdict: Verdict = Verdict.APPROVE, reason: str = "", same_person_as: str = "",
        arguments: JsonObject | None = None, **changes: object,
    ) -> VoteAnswer:  # fmt: skip
        """Cast a vote as the form does: row, signal, answer."""
        vote, signed, _ = await self.cast(
            handle, request, person, verdict=verdict, reason=reason, same_person_as=same_person_as,
            arguments=arguments, **changes,
        )  # fmt: skip
        answer = await self.signal(handle, signed, vote.decision_id)
        if isinstance(answer, VoteAccepted | VoteRefused):
            async with self.db.tenant(TENANT) as cursor:
                await record_answer(cursor, tenant=TENANT, decision_id=vote.decision_id, answer=answer)
        return answer

    async def cast(
        self, handle: WorkflowHandle[AgentRun, RunReport], request: StoredRequest, person: str, *,
        verdict: Verdict = Verdict.APPROVE, reason: str = "", same_person_as: str = "",
        arguments: JsonObject | None = None, **changes: object,
    ) -> tuple[Vote, SignedVote, StoredVote]:  # fmt: skip
        """Sign a vote and write its row; the row is an earlier one where the person had voted before."""
        now = int(time.time())
        groups = {"lena": ("support-leads",), "fay": ("finance",), "finn": ("finance",), "eve": ()}[person]
        vote = Vote.model_validate(
            {
                "tenant": TENANT, "run_id": handle.id, "request_id": request.request_id, "digest": request.digest,
                "verdict": verdict, "reason": reason, "edited": digest(arguments) if arguments else None,
                "decision_id": opaque("dec"), "issuer": "local",
                "subject": person, "person": same_person_as or person, "display_name": person.title(), "groups": groups,
                "authenticated_at": now - 5, "strength": "password", "voted_at": now,
                "expires_at": now + 600, **changes,
            }
        )  # fmt: skip
        signed = self.signer.sign(vote)
        async with self.db.tenant(TENANT) as cursor:
            edited = canonical_bytes(arguments).decode() if arguments else None
            written = await cast_vote(cursor, vote, signed, edited)
        return vote, signed, written.vote

    async def signal(
        self, handle: WorkflowHandle[AgentRun, RunReport], signed: SignedVote, decision_id: str
    ) -> VoteAnswer:
        """Signal a vote and ask until the run has answered."""
        await handle.signal(AgentRun.vote, signed)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            answer: VoteAnswer = await handle.query(AgentRun.vote_answer, decision_id)
            if not isinstance(answer, VotePending):
                return answer
            await asyncio.sleep(0.02)
        return VotePending()

    def refunds(self) -> list[JsonObject]:
        """The books' refunds of the tenant."""
        return self.backoffice.refunds(TENANT)


def opaque(prefix: str) -> str:
    """A random identifier of the usual form."""
    return f"{prefix}-" + base64.b32encode(os.urandom(17)).decode().lower()[:26]


@asynccontextmanager
async def installed(
    folder: Path, database_url: str, temporal_address: str, backoffice: Server, credential_key: Path,
    *, stage: Stage = Stage.LIMITED_AUTONOMY, tier_ceiling: int = 3, worker: bool = True,
    **changes: object,
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation on a task queue of its own."""
    vote_key, _ = write_key(folder / "keys", "vote")
    settings = Settings.model_validate(
        {
            "state_dir": folder,
            "database_url": database_url,
            "temporal_address": temporal_address,
            "temporal_task_queue": f"test-{uuid.uuid4().hex[:12]}",
            "credential_key_file": credential_key,
            "vote_key_file": vote_key,
            "services": {"backoffice": backoffice.url},
            "model_provider": "scripted",
            **changes,
        }
    )
    signer = VoteSigner.load(vote_key)
    async with open_engine(settings) as engine:
        await signer.publish(engine.db)
        client = await connect(settings)
        agents = {
            name: InitialState(stage=stage.value, enabled=True, tier_ceiling=tier_ceiling)
            for name in engine.registry.agents
        }
        await ensure_agent_states(engine.db, TenantsFile(tenants={TENANT: Tenant(name="Acme", agents=agents)}))
        await _people(engine.db, {"lena": ["support-leads"], "fay": ["finance"], "finn": ["finance"], "eve": []})
        made = Installation(settings, engine, client, backoffice, signer)
        if not worker:
            yield made
            return
        async with run_worker(client, engine):
            yield made


async def _people(db: Database, groups: Mapping[str, list[str]]) -> None:
    async with db.tenant(TENANT) as cursor:
        for name, belongs in groups.items():
            account = NewAccount.model_validate(
                {"tenant": TENANT, "username": name, "person": name, "display_name": name.title(), "groups": belongs,
                 "roles": ["view", "approve"]}
            )  # fmt: skip
            await add_account(cursor, account, PASSWORD)
