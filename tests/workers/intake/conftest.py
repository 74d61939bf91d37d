"""An intake process for each module; its Temporal does not answer unless a test gives it one that does."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conftest import DatabaseAddresses
from tests.workers.intake.server import Intake
from workers.embedded.ports import some_free


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory, module_database: DatabaseAddresses) -> Generator[Intake]:
    folder: Path = tmp_path_factory.mktemp("intake")
    with Intake(
        folder,
        some_free(),
        database=module_database.url,
        owner_database=module_database.owner_url,
        temporal_address=f"127.0.0.1:{some_free()}",
    ) as process:
        yield process
