"""A back office for the module, and an installation for each test."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import Installation, installed, write_key


@pytest.fixture(scope="session")
def credential_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_key(tmp_path_factory.mktemp("keys"), "credential")


@pytest.fixture(scope="session")
def shared_backoffice(credential_key: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("backoffice"), str(credential_key[1]), BACKOFFICE_FAULT_HANG_S="3") as server:
        yield server


@pytest.fixture
def backoffice(shared_backoffice: Server) -> Server:
    shared_backoffice.admin("POST", "/reset")
    return shared_backoffice


@pytest.fixture
async def installation(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:
    async with installed(tmp_path, database.url, temporal_address, backoffice, credential_key[0]) as made:
        yield made
