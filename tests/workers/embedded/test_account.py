"""The account that Postgres runs as, where everything else runs as root."""

import pwd
import subprocess

import pytest

from workers.embedded import account
from workers.embedded.account import Account, unprivileged
from workers.embedded.errors import StackError

MADE = pwd.struct_passwd(("pgserver", "x", 998, 997, "", "/", "/usr/sbin/nologin"))


@pytest.mark.parametrize("comes_after", [1, 2, None])
def test_two_that_start_side_by_side_have_one_account(monkeypatch: pytest.MonkeyPatch, comes_after: int | None) -> None:
    tried: list[list[str]] = []

    def useradd(command: list[str], **_: object) -> None:
        tried.append(command)
        raise subprocess.CalledProcessError(9, command)

    def getpwnam(_name: str) -> pwd.struct_passwd:
        if comes_after is None or len(tried) < comes_after:
            raise KeyError
        return MADE

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(account, "_PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(subprocess, "run", useradd)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    if comes_after is None:
        with pytest.raises(StackError, match="Run `useradd"):
            unprivileged()
        return
    assert unprivileged() == Account("pgserver", 998, 997)
    assert len(tried) == comes_after
