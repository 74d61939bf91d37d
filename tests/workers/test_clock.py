"""A worker whose clock is wrong does not work: it refuses to start, and it stops when its clock goes wrong later."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts.outcome import Outcome
from settings.environment import child_environment, plain_names
from store.database import Database
from tests.conftest import DatabaseAddresses
from tests.examples.server import ROOT, Server
from tests.installation import Installation, installed
from workers.clock import clock_difference_s
from workers.embedded.ports import some_free
from workers.run_worker import run_worker

pytestmark = [pytest.mark.req("P2", "D1"), pytest.mark.timeout(120)]

PROGRAM = """
import pathlib, sys, time, workers.worker
right, wrong_by = time.time, pathlib.Path(sys.argv[1])
time.time = lambda: right() + float(wrong_by.read_text())
workers.worker._CLOCK_CHECK_S = 0.05
sys.exit(workers.worker.main())
"""
"""The worker on a machine whose clock is wrong by what a file says, in seconds."""
END_LIMIT_S = 60.0


@dataclass(frozen=True)
class WrongClock:
    """A machine for workers."""

    office: Installation
    file: Path

    async def start(self, wrong_by_s: float) -> asyncio.subprocess.Process:
        self.file.write_text(str(wrong_by_s))
        settings = self.office.settings.model_copy(update={"worker_port": some_free()})
        names = (*plain_names(), "database_url", "credential_key_file")
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(self.file), cwd=ROOT, env=child_environment(settings, names),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip


async def refusal(worker: asyncio.subprocess.Process) -> str:
    """What the worker says when it gives up."""
    async with asyncio.timeout(END_LIMIT_S):
        _, said = await worker.communicate()
    assert worker.returncode == 2, said
    return said.decode().splitlines()[-1]


@pytest.fixture
async def machine(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[WrongClock]:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], worker=False
    ) as office:
        yield WrongClock(office, tmp_path / "wrong_by")


async def test_a_worker_with_a_wrong_clock_does_not_start(machine: WrongClock) -> None:
    said = await refusal(await machine.start(-90.0))
    # On a slow machine some seconds may pass between the looks at both.
    assert re.match(r"error: this machine's clock differs from the database's by -(90|[78]\d) s", said), said


async def test_a_question_that_took_long_says_nothing_about_the_clock(
    database: DatabaseAddresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    async with Database(database.url, role="countersign_app") as db:
        for looks, least, most in (
            ((now - 600, now + 600), 0, 0), ((now - 600, now - 300), -400, -300), ((now + 300, now + 600), 200, 300),
        ):  # fmt: skip
            monkeypatch.setattr("workers.clock.time", SimpleNamespace(time=iter(looks).__next__))
            assert least <= await clock_difference_s(db) <= most


async def test_a_worker_whose_clock_goes_wrong_stops_and_its_run_goes_on_elsewhere(machine: WrongClock) -> None:
    worker = await machine.start(30.0)
    try:
        handle = await machine.office.start({"ticket_id": "TIC-2006"})
        request = await machine.office.open_request(handle)
        machine.file.write_text("300")
        assert "Set it, then start again" in await refusal(worker)
    finally:
        with suppress(ProcessLookupError):
            worker.kill()
    async with run_worker(machine.office.client, machine.office.engine):
        await machine.office.vote(handle, request, "lena")
        assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(machine.office.refunds()) == 1
