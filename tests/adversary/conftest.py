"""A back office, a store and the real activities for a module; and the same with all that decides switched off."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.adversary.attacker import Attacker
from tests.adversary.raid import Raid
from tests.adversary.switched_off import gate_off, open_gate
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import installed, write_key


@pytest.fixture(scope="session")
def raided_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_key(tmp_path_factory.mktemp("keys"), "credential")


@pytest.fixture(scope="module")
def raided_office(raided_key: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("backoffice"), str(raided_key[1])) as server:
        yield server


@pytest.fixture(scope="module")
def attacker() -> Generator[Attacker]:
    made = Attacker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("activities.call_model.provider_for", made.provider_for)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def raid(
    module_database: DatabaseAddresses, temporal_address: str, raided_office: Server, raided_key: tuple[Path, Path],
    attacker: Attacker, tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Raid]:  # fmt: skip
    folder = tmp_path_factory.mktemp("raid")
    async with installed(
        folder, module_database.url, temporal_address, raided_office, raided_key[0], worker=False
    ) as made:
        raid = Raid(made, attacker)
        yield raid
        await raid.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def defenceless(
    module_database: DatabaseAddresses, temporal_address: str, raided_office: Server, raided_key: tuple[Path, Path],
    attacker: Attacker, tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Raid]:  # fmt: skip
    folder = tmp_path_factory.mktemp("defenceless")
    async with installed(
        folder, module_database.url, temporal_address, raided_office, raided_key[0], worker=False, **gate_off(folder)
    ) as made:
        open_gate(made.engine)
        raid = Raid(made, attacker)
        yield raid
        await raid.close()
