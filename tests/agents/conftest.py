"""A desk with the refund agent and a back office of its own, back at its seed before each test."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from activities.credentials import CredentialIssuer
from activities.services import Services
from tests.agents.desk import Desk, loaded, write_keys
from tests.examples.server import Server


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> tuple[CredentialIssuer, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def running_backoffice(
    credentials: tuple[CredentialIssuer, Path], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("backoffice"), str(credentials[1])) as server:
        yield server


@pytest.fixture
def backoffice(running_backoffice: Server) -> Server:
    running_backoffice.admin("POST", "/reset")
    return running_backoffice


@pytest.fixture
async def desk(credentials: tuple[CredentialIssuer, Path], backoffice: Server) -> AsyncGenerator[Desk]:
    services = Services({"backoffice": backoffice.url})
    yield Desk(*loaded("support_refund"), services, credentials[0])
    await services.close()
