"""One stack for all crash tests: what one test breaks, it also mends."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import SERVERS_PREFIX
from tests.crashes.stack import CrashStack, crash_stack


@pytest.fixture(scope="package")
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"{SERVERS_PREFIX}{os.getpid()}-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stack(short_folder: Path) -> AsyncGenerator[CrashStack]:
    async with crash_stack(short_folder) as made:
        yield made
