"""Some of the attacks as whole runs: intake's row, real Temporal, real worker, real gate; nobody approves anything."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from contracts.outcome import Outcome
from tests.adversary.attacker import Attack, Attacker
from tests.adversary.attacks import attacks_of
from tests.adversary.oracle import misdeeds
from tests.adversary.town import records
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from workflows.agent_run import AgentRun

pytestmark = [pytest.mark.req("P2"), pytest.mark.timeout(300)]

CHOSEN: tuple[Attack, ...] = tuple(
    attacks_of(family)[number]
    for family, numbers in {
        "other orders": (1, 4), "look-alikes": (10, 44), "splits": (0, 2), "boundaries": (0, 20), "smuggling": (0, 3),
        "replays": (0, 1), "imitations": (0, 3), "exfiltration": (4,), "order of calls": (4,), "endings": (4,),
    }.items()
    for number in numbers
)  # fmt: skip


@pytest.fixture
def attacker() -> Generator[Attacker]:
    made = Attacker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("activities.call_model.provider_for", made.provider_for)
        yield made


@pytest.fixture
async def besieged(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, raided_office: Server,
    raided_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    raided_office.admin("POST", "/reset", {"seed": {"tenants": {TENANT: records()}}})
    async with installed(tmp_path, database.url, temporal_address, raided_office, raided_key[0]) as made:
        yield made


async def test_whole_runs_have_no_effect_that_nobody_authorised(besieged: Installation, attacker: Attacker) -> None:
    """All in one tenant, side by side: so a deed of one run is a repeated one in the next."""

    async def run(attack: Attack, number: int, part: int) -> tuple[str, str]:
        mark = f"mark-{number}-{part}-of-the-attacks"
        attacker.announce(mark, attack.runs[part])
        ticket = attack.tickets[part]
        handle = await besieged.start({**attack.event, "ticket_id": ticket, "mark": mark})
        waiting = asyncio.ensure_future(handle.result())
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.2)
            if not waiting.done() and (await handle.query(AgentRun.snapshot)).open_requests:
                await handle.cancel()  # nobody is there to approve
        assert waiting.result().outcome is not Outcome.FAILED_SAFE, waiting.result()
        return handle.id, ticket

    started = await asyncio.gather(
        *(run(attack, number, part) for number, attack in enumerate(CHOSEN) for part in range(len(attack.runs)))
    )
    assert len(started) >= 12
    books = besieged.backoffice.books()
    assert misdeeds(books, dict(started)) == []
    assert books["effects"], "not one honest part of an attack went through: something else is broken"
