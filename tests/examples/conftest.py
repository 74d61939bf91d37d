"""One backoffice process for all tests and one to be killed, each back at its seed before a test."""

from collections.abc import Generator

import pytest

from tests.examples.caller import Caller
from tests.examples.server import Server
from tests.examples.tokens import Issuer


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("keys") / "jwks.json")


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def mortal_server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("mortal"), str(issuer.jwks_file)) as server:
        yield server


@pytest.fixture
def own_server(mortal_server: Server) -> Server:
    """Return a server that the test may kill."""
    if not mortal_server.is_running():
        mortal_server.start()
    mortal_server.admin("POST", "/reset")
    return mortal_server
