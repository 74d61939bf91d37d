"""One backoffice process per test module, back at its seed before each test."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.examples.caller import Caller
from tests.examples.server import Server
from tests.examples.tokens import Issuer


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("keys") / "jwks.json")


@pytest.fixture(scope="module")
def running_server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("backoffice"), str(issuer.jwks_file)) as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Server:
    running_server.admin("POST", "/reset")
    return running_server


@pytest.fixture
def caller(issuer: Issuer, server: Server) -> Caller:
    return Caller(issuer, server)


@pytest.fixture
def own_server(issuer: Issuer, tmp_path: Path) -> Generator[Server]:
    """Start a server that the test may kill."""
    with Server(tmp_path, str(issuer.jwks_file)) as server:
        yield server
