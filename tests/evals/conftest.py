"""A stack for cases: the session's Postgres and Temporal server, and one back office for all tests here."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from cli.eval_stack import SEED_FILE, working
from evals.cases import Suite, load_suite
from evals.stack import EvalStack
from evals.world import BackOffice
from settings import Settings
from tests.conftest import DatabaseAddresses
from tests.examples.server import ADMIN_TOKEN, Server
from tests.installation import write_key


@pytest.fixture(scope="session")
def credential_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_key(tmp_path_factory.mktemp("keys"), "credential")


@pytest.fixture(scope="session")
def backoffice(credential_key: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("backoffice"), str(credential_key[1])) as server:
        yield server


@pytest.fixture
async def stack(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[EvalStack]:
    settings = Settings.model_validate(
        {
            "state_dir": tmp_path,
            "database_url": database.url,
            "temporal_address": temporal_address,
            "credential_key_file": credential_key[0],
            "vote_key_file": write_key(tmp_path / "keys", "vote")[0],
            "services": {"backoffice": backoffice.url},
            "model_provider": "scripted",
        }
    )
    async with BackOffice(backoffice.url, ADMIN_TOKEN, SEED_FILE) as world:
        yield EvalStack(settings=settings, world=world, working=working)


@pytest.fixture
def suite() -> Suite:
    return load_suite(Settings().agents_dir, "support_refund")
