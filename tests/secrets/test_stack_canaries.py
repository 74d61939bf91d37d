"""Every secret of a whole installation is looked for in everything that its processes wrote."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.main import run
from settings import get_settings
from settings.load import load_settings
from settings.sources import ROOT
from settings.temporal import connect
from tests.secrets.search import credentials_in, dumped_tables, files_below, found_in, histories
from workers.embedded.ports import some_free
from workers.embedded.postgres import OWNER, PostgresServer

PORTS = ("WEB", "INTAKE", "WORKER", "BACKOFFICE", "TEMPORAL", "TEMPORAL_UI")
LIMIT_S = 100
PASSWORD = "canary-pässword of lena 0815"
PLANTED = {
    "model key": "sk-canary-openai-00000000000000000001",
    "other model key": "sk-ant-canary-00000000000000000002",
    "secret of a service": "canary-service-key-00000000000000003",
    "secret of an endpoint": "whsec_Y2FuYXJ5LW9mLWFuLWVuZHBvaW50LTAwMDAwMDAwMDA0",
    "password": PASSWORD,
}
ENDPOINTS = """
endpoints:
  support-tickets:
    tenant: acme
    sources: [/helpdesk/acme]
    secrets: [env:CANARY_ENDPOINT]
    routes:
      - when: {type: ticket.created}
        agent: support_refund
    trusted: [ticket_id]
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path, since the socket of Postgres lies below it, and an environment full of secrets."""
    with tempfile.TemporaryDirectory(prefix="countersign-canary-") as folder:
        state = Path(folder) / "state"
        (Path(folder) / "endpoints.yaml").write_text(ENDPOINTS)
        values = {
            "COUNTERSIGN_STATE_DIR": str(state),
            "COUNTERSIGN_ENDPOINTS_FILE": f"{folder}/endpoints.yaml",
            "COUNTERSIGN_MODEL_PROVIDER": "scripted",
            "COUNTERSIGN_PASSWORD": PASSWORD,
            "COUNTERSIGN_LOG_LEVEL": "debug",
            "OPENAI_API_KEY": PLANTED["model key"],
            "ANTHROPIC_API_KEY": PLANTED["other model key"],
            "CANARY_ENDPOINT": PLANTED["secret of an endpoint"],
            "CANARY_SERVICE": PLANTED["secret of a service"],
            **{f"COUNTERSIGN_{name}_PORT": str(some_free()) for name in PORTS},
        }
        backoffice = f"http://127.0.0.1:{values['COUNTERSIGN_BACKOFFICE_PORT']}"
        crm = {"url": "https://crm.example", "credentials": {"kind": "secret", "secret": "env:CANARY_SERVICE"}}
        entry = {"url": backoffice, "revocations": "/countersign/epochs"}
        values["COUNTERSIGN_SERVICES"] = json.dumps({"backoffice": entry, "crm": crm})
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        yield state


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def generated(state: Path) -> dict[str, str]:
    """The secrets that the stack made for itself."""
    keys = state / "keys"
    found = {
        "session secret": (keys / "session.secret").read_text().strip(),
        "admin token of the back office": (keys / "backoffice-admin.token").read_text().strip(),
    }
    for name in ("vote", "credential"):
        for number, key in enumerate(json.loads((keys / f"{name}.jwk").read_text())["keys"]):
            found[f"{name} key {number}"] = key["d"]
    return found


@pytest.mark.req("I5", "H7")
@pytest.mark.timeout(240)
def test_no_secret_of_an_installation_is_written_anywhere(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    def command(*words: str, codes: tuple[int, ...] = (0,)) -> str:
        code = run([*words])
        captured = capsys.readouterr()
        said.append(captured.out + captured.err)
        assert code in codes, f"{words}: {captured.err}"
        return captured.out

    up = subprocess.Popen(
        [sys.executable, "-m", "countersign", "up"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ}, text=True,
    )  # fmt: skip
    try:
        until(lambda: _is_ready(place) or up.poll() is not None, "the stack is ready")
        assert up.poll() is None, up.communicate()[0]
        get_settings.cache_clear()
        _work(place, command)
        said.append(_demo())
        settings = load_settings()

        async def all_histories() -> dict[str, bytes]:
            return await histories(await connect(settings))

        places = {
            **asyncio.run(all_histories()),
            **dumped_tables(PostgresServer.at(place / "postgres").url("countersign", OWNER)),
        }
        secrets = {**PLANTED, **generated(place)}
    finally:
        up.terminate()
        output = up.communicate(timeout=60)[0]
    places |= {"what the stack printed": output.encode(), "what the commands printed": "\n".join(said).encode()}
    # Nothing may be left out silently: keys lie where keys lie, and a person's session in a file of theirs alone.
    places |= files_below(place, without=("keys", "cli-session.json"))
    assert found_in(places, secrets) == []
    held, looked = credentials_in(places)
    assert held == []
    # The search bites: it sees what is there.
    assert looked > 0, "signed votes stand in histories and tables"
    places_of_summary = found_in(places, {"the reason of a change": "the drill is over"})
    assert any("table public.agent_changes" in line for line in places_of_summary)
    for words in ("payments.issue_refund", "support_refund"):
        seen = {name.split()[0] for name, content in places.items() if words.encode() in content}
        assert {"history", "table", "what"} <= seen, (words, seen)
    assert any(name.startswith("file logs/") and content for name, content in places.items())
    assert any(name.startswith("file temporal/") or "temporal" in name for name in places)


def _is_ready(state: Path) -> bool:
    file = state / "stack.json"
    return file.is_file() and json.loads(file.read_text() or "{}").get("state") == "ready"


def _demo() -> str:
    """What a newcomer types first: a run that completes, one that people decide, one that is handed over; replayed."""
    done = subprocess.run(
        [sys.executable, "-m", "countersign", "demo", "--unattended"], cwd=ROOT, capture_output=True, check=False,
        text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Each refund exactly once" in done.stdout
    return done.stdout + done.stderr


def _work(state: Path, command: Callable[..., str]) -> None:
    """Runs that succeed and that end otherwise, decisions, rotations, revocations; and commands that show things."""
    command("approvals", "account", "add", "lena", "--group", "support-leads", "--tenant", "acme")
    command("approvals", "account", "add", "root", "--role", "administer", "--tenant", "acme")
    event = state / "ticket.json"
    event.write_text(json.dumps({"ticket_id": "TIC-2006"}))
    sent = json.loads(command("send", str(event), "--type", "ticket.created", "--id", "evt-2006", "--json"))
    run_id = str(sent["run_id"])
    waiting = _request(command)
    command("keys", "rotate", "credential", "--lead", "0", "--as", "acme/root", "--reason", "a drill")
    command("keys", "rotate", "vote", "--as", "acme/root", "--reason", "a drill")
    command("approvals", "approve", waiting, "--as", "acme/lena", "--yes")
    command("runs", "watch", run_id)
    command("agent", "disable", "support_refund", "--as", "acme/root", "--reason", "a drill")
    command("agent", "enable", "support_refund", "--as", "acme/root", "--reason", "the drill is over")
    command("keys", "revoke", "--everything", "--as", "acme/root", "--reason", "a drill")
    command("runs", "show", run_id)
    command("runs", "export", run_id, "--output", str(state / f"{run_id}.json"))
    for line in ("config", "config --json", "status --json", "doctor", "events list", "keys list", "runs list --json",
                 "agent show support_refund --tenant acme", "approvals account list --tenant acme --json"):  # fmt: skip
        command(*line.split(), codes=(0, 1))


def _request(command: Callable[..., str]) -> str:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        lines = json.loads(command("approvals", "list", "--scope", "all", "--as", "acme/lena", "--json"))["lines"]
        if lines:
            return str(lines[0]["request_id"])
        time.sleep(0.2)
    raise TimeoutError("no approval was asked for")
