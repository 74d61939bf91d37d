"""The stack starts, survives kills, says what happens, and leaves nothing behind."""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from settings.load import load_settings
from tests.cli.test_main import countersign
from tests.conftest import DatabaseAddresses
from tests.workers.embedded.running_stack import LIMIT_S, RunningStack, processes_of, until
from workers.embedded.lock import holder, is_held
from workers.embedded.ports import some_free
from workers.embedded.process import ProcessId
from workers.embedded.state import observe

PORTS = ("WEB", "INTAKE", "WORKER", "BACKOFFICE", "TEMPORAL", "TEMPORAL_UI")


@contextmanager
def fresh_place() -> Generator[dict[str, str]]:
    """Variables of a state folder of its own, with ports that nobody else uses; nothing may run there afterwards."""
    with tempfile.TemporaryDirectory(prefix="countersign-stack-") as folder:
        state_dir = Path(folder) / "state"
        yield {
            "COUNTERSIGN_ENV_FILE": os.devnull,
            "COUNTERSIGN_STATE_DIR": str(state_dir),
            **{f"COUNTERSIGN_{name}_PORT": str(some_free()) for name in PORTS},
        }
        assert processes_of(state_dir) == []


@contextmanager
def running_stack() -> Generator[RunningStack]:
    """A running stack in the place that the environment names."""
    running = RunningStack()
    try:
        running.until_said("READY postgres,temporal,web,backoffice")
        yield running
    finally:
        running.stop()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of this test."""
    with fresh_place() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield Path(variables["COUNTERSIGN_STATE_DIR"])


@pytest.fixture
def stack(place: Path) -> Iterator[RunningStack]:
    """A running stack of this test, for a test that ends it."""
    with running_stack() as running:
        yield running


@pytest.fixture(scope="module")
def kept() -> Iterator[tuple[RunningStack, dict[str, str]]]:
    """A running stack of this module, with its variables."""
    with fresh_place() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with running_stack() as running:
            yield running, variables


@pytest.fixture
def shared(kept: tuple[RunningStack, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> RunningStack:
    """The module's stack, for a test that leaves it running."""
    running, variables = kept
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return running


def get(address: str) -> str:
    return httpx.get(address, trust_env=False).text


def test_ctrl_c_stops_everything_and_leaves_nothing(stack: RunningStack, place: Path) -> None:
    assert stack.stop(signal.SIGINT) == 0
    assert stack.lines[-2:] == ["stopping", "STOPPED"]
    assert not is_held(place)
    assert not (place / "stack.json").exists()
    assert processes_of(place) == []


def test_other_commands_find_the_servers(shared: RunningStack) -> None:
    settings = load_settings()
    assert settings.temporal_address == shared.record("temporal").address
    with psycopg.connect(settings.database_address(), options="-c role=countersign_app") as connection:
        assert connection.execute("select session_user").fetchone() == ("countersign_login",)
    assert load_settings().stack_file.stat().st_mode & 0o777 == 0o600


def test_a_process_gets_only_what_was_given_to_it(shared: RunningStack) -> None:
    assert get(shared.record("web").address) == load_settings().database_address()
    assert get(shared.record("backoffice").address) == ""


def test_a_killed_process_is_started_again_and_it_is_said(shared: RunningStack) -> None:
    pid = shared.kill("web")
    shared.until_replaced("web", pid)
    shared.until_said("web is ready again")
    line = next(line for line in shared.lines if "web died" in line)
    assert "SIGKILL" in line
    assert shared.record("web").log_file in line
    assert shared.record("web").restarts == 1
    assert shared.record("backoffice").restarts == 0


def test_a_killed_postgres_comes_back_with_its_data(shared: RunningStack) -> None:
    owner = load_settings().migration_database_address()
    with psycopg.connect(owner) as connection:
        connection.execute("create table kept (word text)")
        connection.execute("insert into kept values ('safe')")
    pid = shared.kill("postgres")
    shared.until_said("postgres died (SIGKILL)")
    shared.until_replaced("postgres", pid)
    shared.until_said("postgres is ready again")
    with psycopg.connect(owner) as connection:
        assert connection.execute("select word from kept").fetchone() == ("safe",)


def test_a_killed_temporal_comes_back(shared: RunningStack) -> None:
    pid = shared.kill("temporal")
    shared.until_replaced("temporal", pid)
    shared.until_said("temporal died (SIGKILL)")


def test_after_a_kill_of_the_supervisor_the_next_start_ends_what_was_left(stack: RunningStack, place: Path) -> None:
    left = {name: stack.pid(name) for name in ("postgres", "temporal", "web", "backoffice")}
    stack.process.kill()
    stack.process.wait()
    assert not is_held(place)
    os.kill(left["temporal"], 0)
    again = RunningStack()
    try:
        again.until_said("READY")
        for name, pid in left.items():
            assert again.said(f"{name} was still running from an earlier start (pid {pid}): ended")
            assert again.pid(name) != pid
        assert not any("taken" in line for line in again.lines)
    finally:
        again.stop()


def test_a_second_stack_on_the_same_folder_is_refused(shared: RunningStack) -> None:
    second = RunningStack()
    until(lambda: second.process.poll() is not None, "the second one gives up")
    assert second.stop() == 1
    assert "A stack runs on this state folder already" in second.lines[-1]
    os.kill(shared.pid("web"), 0)


def test_a_stack_whose_folder_was_moved_away_leaves_the_next_ones_alone(
    stack: RunningStack, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = place.rename(place.with_name("moved"))
    monkeypatch.setenv("COUNTERSIGN_WEP_PORT", "1")
    with running_stack() as second:
        assert second.said("unknown, so without effect: COUNTERSIGN_WEP_PORT.")
        assert holder(place) == ProcessId(second.file().supervisor_pid, second.file().supervisor_started_at_s)
        assert stack.stop() == 0
        assert not is_held(moved)
        assert stack.said("the state folder was moved away")
        assert second.file().state == "ready"
        (place / "stack.json").unlink()
        assert countersign("down").returncode == 0
        assert second.process.wait(LIMIT_S) == 0


def test_a_taken_port_is_replaced_and_said(place: Path) -> None:
    wanted = load_settings().web_port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # see `some_free`
        other.bind(("127.0.0.1", wanted))
        other.listen()
        stack = RunningStack()
        try:
            stack.until_said("READY")
            used = load_settings().web_port
            assert used != wanted
            assert stack.said(f"port {wanted} (web_port) is taken: using {used}")
            assert stack.record("web").address == f"http://127.0.0.1:{used}"
        finally:
            stack.stop()


def test_servers_of_somebody_else_are_used_and_not_started(
    place: Path, database: DatabaseAddresses, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_MIGRATION_DATABASE_URL", database.owner_url)
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", temporal_address)
    stack = RunningStack()
    try:
        stack.until_said("READY web,backoffice")
        assert [record.name for record in stack.file().components] == ["web", "backoffice"]
        assert stack.file().settings == {}
        assert get(stack.record("web").address) == database.url
        state = asyncio.run(observe(load_settings()))
        assert [(part.name, part.state) for part in state.components[:2]] == [
            ("postgres", "external"),
            ("temporal", "external"),
        ]
    finally:
        stack.stop()


def test_a_process_that_cannot_start_ends_the_start_with_its_reason(place: Path) -> None:
    stack = RunningStack("broken")
    until(lambda: stack.process.poll() is not None, "it gives up")
    assert stack.stop() == 1
    assert stack.lines[-1].startswith("error: web does not start: exit code 1, no luck today. See ")
    assert not is_held(place)


def test_a_stop_during_the_start_leaves_nothing(place: Path) -> None:
    stack = RunningStack()
    stack.until_said("made vote.jwk")
    assert stack.stop(signal.SIGTERM) == 0
    assert not stack.said("READY")


def test_data_and_keys_outlive_a_restart(stack: RunningStack, place: Path) -> None:
    with psycopg.connect(load_settings().migration_database_address()) as connection:
        connection.execute("create table kept (word text)")
    key = (place / "keys" / "vote.jwk").read_bytes()
    assert (place / "keys" / "vote.jwk").stat().st_mode & 0o777 == 0o600
    stack.stop()
    again = RunningStack()
    try:
        again.until_said("READY")
        assert (place / "keys" / "vote.jwk").read_bytes() == key
        with psycopg.connect(load_settings().migration_database_address()) as connection:
            connection.execute("select * from kept")
    finally:
        again.stop()
