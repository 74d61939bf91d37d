"""The account that Postgres runs as, where everything else runs as root."""

import pwd
import subprocess
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from workers.embedded.account import Account, unprivileged
from workers.embedded.errors import StackError

MADE = pwd.struct_passwd(("pgserver", "x", 998, 997, "", "/", "/usr/sbin/nologin"))


def test_stacks_that_start_side_by_side_make_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    together, looked = Barrier(4), list[str]()
    made: list[list[str]] = []

    def useradd(command: list[str], **_: object) -> None:
        made.append(command)

    def getpwnam(name: str) -> pwd.struct_passwd:
        looked.append(name)
        if len(looked) <= together.parties:
            together.wait()  # each finds none before any makes one
        if not made:
            raise KeyError(name)
        return MADE

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(subprocess, "run", useradd)
    with ThreadPoolExecutor(together.parties) as threads:
        found = [each.result() for each in [threads.submit(unprivileged) for _ in range(together.parties)]]
    assert found == [Account("pgserver", 998, 997)] * together.parties
    assert len(made) == 1


def test_an_account_that_cannot_be_made_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def useradd(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    def getpwnam(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(subprocess, "run", useradd)
    with pytest.raises(StackError, match="Run `useradd"):
        unprivileged()
