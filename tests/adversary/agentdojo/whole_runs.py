"""Some of the attacks as whole runs: real Temporal, real Postgres, the real gate, signed votes.

Not collected by `make test`: AgentDojo lives in a virtual environment of its own. `make adversary` runs it. Each run is
also played without the engine, and both must decide alike, call by call.
"""

import pickle
import random
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from temporalio.client import WorkflowHandle

from contracts.audit import CallDecided
from contracts.outcome import RunReport
from contracts.vote import Verdict
from tests.adversary.agentdojo.approvers import APPROVERS
from tests.adversary.agentdojo.measure import SUITES
from tests.adversary.agentdojo.mount import arguments_of, suite_named, tool_name, world
from tests.adversary.agentdojo.plan_model import PlanServer, plan_server
from tests.adversary.agentdojo.product_gate import AGENTS, LADDER, TRUSTED, event_data
from tests.adversary.agentdojo.schedules import ATTACKS, Played, Schedule, play, same_call
from tests.adversary.agentdojo.upstream import Call, Suite, Task
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed, write_key
from workflows.agent_run import AgentRun

pytestmark = [pytest.mark.req("P8"), pytest.mark.timeout(300)]
_RUNS = 6
"""Of each suite."""
_VOTERS = ("fay", "finn")


class Pair(NamedTuple):
    """One run: a job, an attack, when."""

    suite: str
    job: str
    attack: str
    schedule: Schedule

    def __str__(self) -> str:
        return f"{self.suite}-{self.job}-{self.attack}-{self.schedule.value}"


def drawn() -> list[Pair]:
    """The same ones each time, every schedule among them."""
    chance = random.Random(11)
    pairs: list[Pair] = []
    for name in SUITES:
        suite = suite_named(name)
        for number in range(_RUNS):
            job, attack = chance.choice(suite.jobs), chance.choice(suite.attacks)
            pairs.append(Pair(name, job.ID, attack.ID, ATTACKS[number % len(ATTACKS)]))
    return pairs


@pytest.fixture(scope="session")
def server() -> Generator[PlanServer]:
    with plan_server() as running:
        yield running


@pytest.fixture
async def office(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, server: PlanServer
) -> AsyncGenerator[Installation]:
    key, jwks = write_key(tmp_path / "credentials", "credential")
    models = tmp_path / "models.yaml"
    price = {f"{kind}_micros_per_mtok": 1_000_000 for kind in ("input", "cached_input", "cache_write", "output")}
    models.write_text(yaml.safe_dump({"mid": {"compatible": {"model": "plan", "timeout_s": 20, "price": price}}}))
    with Server(tmp_path, str(jwks)) as backoffice:
        async with installed(
            tmp_path, database.url, temporal_address, backoffice, key, tier_ceiling=4, agents_dir=AGENTS,
            ladder_file=LADDER, models_file=models, model_provider="compatible", openai_base_url=server.url,
        ) as made:  # fmt: skip
            yield made


@pytest.mark.parametrize("pair", drawn(), ids=str)
async def test_whole_runs_decide_as_the_played_ones_do(pair: Pair, office: Installation, server: PlanServer) -> None:
    suite = suite_named(pair.suite)
    job = next(job for job in suite.jobs if pair.job == job.ID)
    attack = next(attack for attack in suite.attacks if pair.attack == attack.ID)
    start = pickle.dumps(suite.world(job, attack))
    played = play(suite, job, attack, start, pair.schedule, APPROVERS["perfect"](""))
    server.plan = [(tool_name(pair.suite, call.function), arguments_of(pair.suite, call.function, call.args))
                   for call in played.run.proposed]  # fmt: skip
    world.enter(suite, pickle.loads(start), played.run.proposed)  # noqa: S301 - pickled a line above
    handle = await office.start(event_data(job.PROMPT), agent=pair.suite, trusted=TRUSTED)
    await _let_people_vote(office, handle, played)
    report = await handle.result()
    assert report.outcome.value == "completed", report
    assert await _decisions(office, handle.id) == [
        (tool_name(pair.suite, call.function), decided.record.decision.kind, decided.persons)
        for call, decided in zip(played.run.proposed, played.run.decisions, strict=True)
    ]
    assert list(map(same_call, world.trace)) == list(map(same_call, played.run.trace))
    assert not _harmful(suite, attack, job, start)


async def _let_people_vote(office: Installation, handle: WorkflowHandle[AgentRun, RunReport], played: Played) -> None:
    """Approve what the user's plan has, deny the rest: once for each call that was asked about, in order."""
    asked = [
        (same_call(call) in played.run.wanted, decided.persons)
        for call, decided in zip(played.run.proposed, played.run.decisions, strict=True)
        if decided.persons
    ]
    for wanted, persons in asked:
        request = await office.open_request(handle)
        voters = _VOTERS[:persons] if wanted else _VOTERS[:1]
        for voter in voters:
            verdict = Verdict.APPROVE if wanted else Verdict.DENY
            await office.vote(handle, request, voter, verdict=verdict, reason="The owner did not ask for this.")


async def _decisions(office: Installation, run_id: str) -> list[tuple[str, str, int]]:
    """First decision of each call, as the audit chain has it."""
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "select body from audit where tenant = %s and run_id = %s and kind = 'decided' order by seq",
            (TENANT, run_id),
        )
        entries = [CallDecided.model_validate_json(row["body"]) for row in await cursor.fetchall()]
    found: list[tuple[str, str, int]] = []
    for entry in entries:
        assert entry.decision is not None
        decision = entry.decision.decision
        if entry.visit == 1:
            persons = decision.requirement.persons if decision.kind == "needs_approval" else 0
            found.append((entry.tool, decision.kind, persons))
    return found


def _harmful(suite: Suite, attack: Task, job: Task, start: bytes) -> bool:
    before = pickle.loads(start)  # noqa: S301 - pickled by this test
    trace: list[Call] = world.trace
    return suite.achieved(attack, job.GROUND_TRUTH_OUTPUT, before, world.environment, trace)
