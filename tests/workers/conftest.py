"""A back office for the tests whose workers are processes of their own."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.examples.server import Server
from tests.installation import write_key


@pytest.fixture(scope="module")
def credential_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_key(tmp_path_factory.mktemp("keys"), "credential")


@pytest.fixture
def backoffice(credential_key: tuple[Path, Path], tmp_path: Path) -> Generator[Server]:
    with Server(tmp_path, str(credential_key[1])) as server:
        yield server
