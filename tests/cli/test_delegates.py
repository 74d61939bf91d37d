"""`countersign approvals delegate`, as it is typed."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.main import run
from settings import Settings
from tests.cli.test_keys import PASSWORD, settings

__all__ = ["settings"]

pytestmark = pytest.mark.req("A6")
DELEGATE = ("approvals", "delegate")


def test_who_is_named_is_listed_and_ended(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", PASSWORD)
    assert run([*DELEGATE, "list"]) == 0
    assert "everybody decides for themselves" in capsys.readouterr().out
    for name in ("lena", "eve"):
        assert run(["approvals", "account", "add", name, "--group", "support-leads"]) == 0
    named = (*DELEGATE, "add", "eve", "--as", "acme/lena", "--reason", "vacation")
    last_day = (datetime.now(UTC) + timedelta(days=5)).date()
    for until, code, said in (
        ("tomorrow", 2, "2026-12-24"),
        ("2000-01-01", 1, "lies in the past"),
        ((last_day + timedelta(days=60)).isoformat(), 1, "at most 60 days"),
        (last_day.isoformat(), 0, "eve decides for lena"),
    ):
        capsys.readouterr()
        assert run([*named, "--until", until]) == code
        assert said in "".join(capsys.readouterr())
    assert run([*DELEGATE, "list", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["approver"], one["delegate"], one["state"]) == ("lena", "eve", "in_force")
    assert datetime.fromisoformat(one["until_at"]).date() == last_day + timedelta(days=1)
    assert run([*DELEGATE, "list"]) == 0
    assert "vacation" in capsys.readouterr().out
    assert run([*DELEGATE, "add", "lena", "--as", "acme/eve", "--of", "eve", "--until", last_day.isoformat()]) == 1
    assert "no role" in capsys.readouterr().err
    assert run([*DELEGATE, "end", one["delegation_id"], "--as", "acme/oncall"]) == 1
    assert "somebody else" in capsys.readouterr().err
    assert run([*DELEGATE, "end", one["delegation_id"], "--as", "acme/root"]) == 0
    assert "lena decides for themselves" in capsys.readouterr().out
    assert run([*DELEGATE, "list", "--past", "--json"]) == 0
    assert [one["state"] for one in json.loads(capsys.readouterr().out)] == ["ended"]
