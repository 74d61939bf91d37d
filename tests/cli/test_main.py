"""Every error of the command is one line that says what to do, and the exit code is the documented one."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import GROUPS, build, run
from settings.sources import ROOT

COMMAND_LIMIT_S = 60


def countersign(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process, with this test's settings."""
    return subprocess.run(
        [sys.executable, ROOT / "countersign.py", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
    )


def test_no_command_shows_what_there_is() -> None:
    done = countersign()
    assert done.returncode == 0
    assert "up " in done.stdout
    assert "doctor" in done.stdout


@pytest.mark.parametrize("arguments", [("nonsense",), ("status", "--nonsense"), ("config", "extra")])
def test_wrong_usage_is_one_line_and_code_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.endswith("--help` shows the usage.\n")
    assert said.err.count("\n") == 1


def test_a_wrong_setting_is_one_line_and_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_WEB_PORT", "high")
    done = countersign("status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: COUNTERSIGN_WEB_PORT: ")
    assert done.stderr.count("\n") == 1


def test_an_unexpected_error_is_one_line_that_names_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.lock").mkdir()
    monkeypatch.setenv("COUNTERSIGN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = countersign("status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unexpected IsADirectoryError: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" in next(tmp_path.glob("countersign-*.log")).read_text()
    assert "Traceback" in countersign("--debug", "status").stderr


def test_a_venv_older_than_the_clone_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.main.GROUPS", {"cli.stack": ("status",), "newly_needed.part": ("new",)})
    assert run(["new"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the package newly_needed is not installed")
    assert "make install" in said


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" countersign.py config | head -1', sys.executable],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("COUNTERSIGN_STATE_DIR")


def test_listings_of_commands_hold_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ((), ("approvals",), ("agent",), ("runs",)):
        assert run([*group, "--help"]) == 0
        listing = capsys.readouterr().out.partition("Commands:")[2]
        assert listing.count("\n") > 3
        assert "..." not in listing


def test_each_group_adds_the_verbs_that_it_is_listed_with() -> None:
    for module, verbs in GROUPS.items():
        app = build(verbs[0])
        names = {
            *(command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands),
            *(group.name for group in app.registered_groups),
        }
        assert names == set(verbs), module
