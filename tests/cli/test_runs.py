"""`countersign runs` and `countersign replay` on the real store and the real Temporal server."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from cli.main import run
from contracts.vote import VoteAccepted
from settings import get_settings
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import Installation, installed
from tests.workflows.conftest import backoffice, credential_key, shared_backoffice

__all__ = ["backoffice", "credential_key", "shared_backoffice"]

SMALL, LARGE = "TIC-2001", "TIC-2006"
WAIT_S = 30


@pytest.fixture
async def installation(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Installation]:
    """An installation, and the environment of a person who works with it."""
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", temporal_address)
    get_settings.cache_clear()
    async with installed(tmp_path, database.url, temporal_address, backoffice, credential_key[0]) as made:
        yield made


async def command(*arguments: str) -> int:
    """As the command runs: in a thread, because it has a loop of its own."""
    return await asyncio.to_thread(run, list(arguments))


async def test_a_finished_run_is_listed_shown_exported_and_replayed(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await installation.start({"ticket_id": SMALL})
    await handle.result()
    await (await installation.start({"ticket_id": "TIC-2003"})).result()

    assert await command("runs", "list", "--json") == 0
    newest, oldest = json.loads(capsys.readouterr().out)
    assert (oldest["run_id"], oldest["outcome"], oldest["effects"]) == (handle.id, "completed", 3)
    assert (newest["outcome"], newest["reason"]) == ("escalated", "handed_over")
    assert await command("runs", "list", "--limit", "1") == 0
    listed = capsys.readouterr().out
    assert newest["run_id"] in listed
    assert "escalated: handed over" in listed
    assert handle.id not in listed
    assert await command("runs", "list", "--agent", "nobody") == 0
    assert "no runs" in capsys.readouterr().out

    begins = handle.id.removeprefix("run-")[:8]
    assert await command("runs", "show", begins) == 0
    assert "completed: done" in capsys.readouterr().out
    assert await command("replay", begins) == 0
    assert capsys.readouterr().out.startswith("✓ the same")

    path = tmp_path / "run.json"
    assert await command("runs", "export", begins, "-o", str(path)) == 0
    assert str(path) in capsys.readouterr().out
    assert await command("replay", str(path)) == 0
    assert await command("runs", "show", "run-") == 2
    assert "is the beginning of several runs" in capsys.readouterr().err
    assert await command("runs", "show", "run-zzzzzzz") == 1
    assert "no run begins with" in capsys.readouterr().err


async def test_an_export_of_temporals_own_command_is_read(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await installation.start({"ticket_id": SMALL})
    await handle.result()
    temporal = shutil.which("temporal", path=str(Path(sys.executable).parent)) or "temporal"
    shown = await asyncio.to_thread(
        subprocess.run,
        [temporal, "workflow", "show", "--workflow-id", handle.id, "--output", "json",
         "--address", str(installation.settings.temporal_address)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path = tmp_path / "temporal.json"
    path.write_text(shown.stdout)
    assert await command("replay", str(path)) == 0
    assert await command("runs", "show", str(path)) == 0
    assert handle.id in capsys.readouterr().out


async def test_an_open_run_is_shown_watched_and_replayed_so_far(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    assert await command("runs", "show", handle.id) == 0
    said = capsys.readouterr().out
    assert "waits for people" in said
    assert said.splitlines()[-1].startswith("open")
    assert await command("replay", handle.id) == 0
    assert "so far (the run is still open)" in capsys.readouterr().out

    watching = asyncio.create_task(command("runs", "watch", handle.id))
    seen = ""
    async with asyncio.timeout(WAIT_S):
        while "waits for people" not in seen:
            await asyncio.sleep(0.1)
            seen += capsys.readouterr().out
    assert "granted" not in seen
    assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
    async with asyncio.timeout(WAIT_S):
        assert await watching == 0
    after = capsys.readouterr().out
    assert "Lena approves" in after
    assert "granted after" in after
    assert "completed: done" in after
    # Each line is printed once.
    assert (seen + after).count("crm.read_ticket") == 1
    assert (seen + after).count("waits for people") == 1


async def test_a_run_whose_history_is_gone_is_told_by_its_audit_chain(
    installation: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await installation.start({"ticket_id": SMALL})
    await handle.result()
    # A namespace that never had the run looks like one whose retention has passed.
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_NAMESPACE", "temporal-system")
    get_settings.cache_clear()
    assert await command("runs", "show", handle.id) == 1
    said = capsys.readouterr().out
    assert "Temporal holds no history" in said
    assert "its audit chain holds" in said.lower()
    assert "payments.issue_refund" in said
    assert await command("replay", handle.id) == 2
    assert "retention has passed" in capsys.readouterr().err
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_NAMESPACE", "mistyped")
    get_settings.cache_clear()
    assert await command("runs", "show", handle.id) == 2
    assert "Namespace mistyped is not found" in capsys.readouterr().err
