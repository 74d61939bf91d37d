"""Fixtures for everybody: real servers, started the way the product starts them."""

import asyncio
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from argon2 import PasswordHasher
from psycopg import sql
from temporalio.client import Client

from settings import get_settings
from settings.payloads import DATA_CONVERTER
from settings.sources import STANDARD_NAMES
from store import passwords
from workers.embedded.component import Component
from workers.embedded.database import create_application_database
from workers.embedded.namespace import set_up_namespace
from workers.embedded.ports import some_free
from workers.embedded.postgres import LOGIN, OWNER, PostgresServer
from workers.embedded.supervisor import Supervisor
from workers.embedded.temporal import temporal_component

START_LIMIT_S = 60
SERVERS_PREFIX = "countersign-test-"
# Tests may lose data when the machine loses power.
FAST_AND_LOOSE = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")


_LONGEST_ID = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of cases that are the same in every process: tests that run side by side are collected by each of them."""
    if isinstance(val, str | bytes) and len(val) > _LONGEST_ID:
        return argname  # perhaps with a random key in it; pytest numbers equal ones
    name: object = getattr(val, "__name__", None)
    return name if isinstance(name, str) else None


_LONGEST_FILES_FIRST = (
    "tests/crashes", "tests/workers", "tests/secrets", "tests/house/test_compose_commands.py", "tests/approvals",
    "tests/workflows", "tests/cli", "tests/evals", "tests/examples",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long: of tests that run side by side, none is left alone at the end."""

    def rank(item: pytest.Item) -> int:
        place = item.path.relative_to(config.rootpath).as_posix()
        places = enumerate(_LONGEST_FILES_FIRST)
        return next((number for number, first in places if place.startswith(first)), len(_LONGEST_FILES_FIRST))

    items.sort(key=rank)


@dataclass(frozen=True)
class DatabaseAddresses:
    """A migrated database of one test."""

    url: str
    """As the login of our processes; every connection takes on a role."""
    owner_url: str
    """As the owner of the tables, who passes row-level security."""


@contextmanager
def running(component: Component, log_folder: Path) -> Generator[None]:
    """Keep a server running in a loop of its own, until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"servers: {component.name}", daemon=True)
    thread.start()
    supervisor = Supervisor([component], log_folder=log_folder, say=print)
    try:
        try:
            asyncio.run_coroutine_threadsafe(supervisor.start(), loop).result(START_LIMIT_S)
            yield
        finally:
            asyncio.run_coroutine_threadsafe(supervisor.stop(), loop).result(START_LIMIT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def end_killed_sessions() -> None:
    """End the servers of test sessions that were killed before they could: found by their folder's owner and name."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SERVERS_PREFIX}*-*"):
        owner = folder.name.removeprefix(SERVERS_PREFIX).partition("-")[0]
        if not owner.isdecimal() or psutil.pid_exists(int(owner)):
            continue
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(folder) in argument for argument in process.cmdline()):
                    process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def real_hasher() -> Iterator[PasswordHasher]:
    """What hashes passwords outside of tests, for who tests that; all others have argon2id with small parameters."""
    real = passwords._HASHER  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - nothing else knows its parameters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield real


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Each new HTTP client reads every certificate of the machine: 50 ms, and tests make thousands of clients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A short path: the socket of Postgres lies below it."""
    end_killed_sessions()
    folder = Path(tempfile.mkdtemp(prefix=f"{SERVERS_PREFIX}{os.getpid()}-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[PostgresServer]:
    """An embedded Postgres of this session, with a migrated database that tests copy."""
    server = PostgresServer.at(servers_folder / "postgres", FAST_AND_LOOSE)
    with running(server.component(print), servers_folder):
        create_application_database(server)
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Address of the session's Postgres as its superuser, database `postgres`."""
    return postgres_server.url(OWNER)


@contextmanager
def fresh_database(server: PostgresServer) -> Generator[DatabaseAddresses]:
    """A copy of the migrated database, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    named = sql.Identifier(name)
    with psycopg.connect(server.url(OWNER), autocommit=True) as connection:
        # Copied as files, past the write-ahead log: half of the work.
        connection.execute(sql.SQL("create database {} template countersign strategy file_copy").format(named))
        yield DatabaseAddresses(url=server.url(name, LOGIN), owner_url=server.url(name))
        connection.execute(sql.SQL("drop database {} with (force)").format(named))


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[DatabaseAddresses]:
    """A fresh migrated database for this test."""
    with fresh_database(postgres_server) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[DatabaseAddresses]:
    """A fresh migrated database for this module."""
    with fresh_database(postgres_server) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def temporal_address(servers_folder: Path) -> Iterator[str]:
    """A tuned development server of this session, namespace `default`."""
    component = temporal_component(file=servers_folder / "temporal.db", port=some_free(), time_skipping=True)
    with running(component, servers_folder):
        asyncio.run(set_up_namespace(component.address, "default"))
        yield component.address


@pytest.fixture
async def temporal_client(temporal_address: str) -> Client:
    """A client that speaks pydantic."""
    return await Client.connect(temporal_address, data_converter=DATA_CONVERTER)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A free port on 127.0.0.1 at each call."""
    return some_free


@pytest.fixture(autouse=True)
def settings_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of the developer's machine never reach a test: no `.env`, no keys, a state folder of its own."""
    for name in (*STANDARD_NAMES.values(), *(name for name in os.environ if name.startswith("COUNTERSIGN_"))):
        if name != "COUNTERSIGN_REQUIRE_PEERS":
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COUNTERSIGN_ENV_FILE", os.devnull)
    monkeypatch.setenv("COUNTERSIGN_STATE_DIR", str(tmp_path / "state"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()
