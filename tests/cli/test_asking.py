"""Where nobody can be asked a command says what to give instead: in a script, a cron job, a container."""

import subprocess
import sys

import pytest

from settings.sources import ROOT

LIMIT_S = 60


def without_a_terminal(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a session of its own, which has no terminal."""
    return subprocess.run(
        [sys.executable, ROOT / "countersign.py", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        timeout=LIMIT_S,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("approvals", "account", "add", "lena", "--group", "support-leads"),
        ("kill", "agent", "support_refund", "--as", "oncall", "--reason", "refunds look wrong"),
    ],
)
def test_a_password_that_nobody_can_type_is_named(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERSIGN_PASSWORD", raising=False)
    done = without_a_terminal(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no terminal to ask for the password. Set COUNTERSIGN_PASSWORD.\n"
