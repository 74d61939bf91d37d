"""`countersign break-glass`, as it is typed."""

import json

import pytest

from cli.main import run
from settings import Settings
from tests.cli.test_keys import settings

__all__ = ["settings"]

pytestmark = pytest.mark.req("I4")
WHY = ("--reason", "The refund queue is down.")


def test_scopes_are_listed_with_what_they_lift(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["break-glass", "scopes"]) == 0
    shown = capsys.readouterr().out
    assert "refunds-during-incident" in shown
    assert "stage" in shown


def test_it_is_requested_listed_and_guarded(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["break-glass", "list"]) == 0
    assert "no emergency" in capsys.readouterr().out
    assert run(["break-glass", "request", "no-such-scope", "--as", "acme/oncall", *WHY]) == 2
    assert "break-glass scopes" in capsys.readouterr().err
    assert run(["break-glass", "request", "refunds-during-incident", "--as", "acme/oncall", "--reason", "short"]) == 1
    assert "at least 10 characters" in capsys.readouterr().err
    assert run(["break-glass", "request", "refunds-during-incident", "--as", "acme/oncall", *WHY]) == 0
    assert "is requested" in capsys.readouterr().out
    assert run(["break-glass", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["state"], one["requested_by"], one["minutes"]) for one in listed] == [("requested", "oncall", 30)]
    key = listed[0]["emergency_id"]
    assert run(["break-glass", "close", key, "--as", "acme/root", "--note", "Nothing was done yet."]) == 1
    assert "what is reviewed has ended" in capsys.readouterr().err
    assert run(["break-glass", "end", "emg-none", "--as", "acme/oncall"]) == 1
    assert "no such emergency" in capsys.readouterr().err
