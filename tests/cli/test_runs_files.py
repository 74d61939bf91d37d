"""`countersign runs show` and `countersign replay` on exported files: no server, no database."""

import base64
import json
from pathlib import Path

import pytest

from cli.main import run
from tests.incidents.recordings import APPROVED, FORGED, HISTORIES, INJECTED, LONG, SMALL, document, plain


def file(name: str) -> str:
    return str(HISTORIES / f"{name}.json")


def test_show_answers_why_in_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", file(APPROVED)]) == 0
    said = capsys.readouterr().out
    for words in (
        "support_refund v1 · acme",
        "ticket_id=TIC-2002",
        "payments.issue_refund",
        "amount_minor=124900 (EUR 1,249.00)",
        "needs 2 people of finance",
        "support-refund-over-500-eur",
        "A refund above 500.00 EUR needs two persons of finance.",
        "Lena approves (lena)  not counted: not eligible",
        "Fay approves (fay)  “The photograph shows the crack”",
        "granted after",
        "effect done",
        "completed: done  6 steps",
    ):
        assert words in said, words
    assert len(said.splitlines()) <= 60
    assert all(line == line.rstrip() for line in said.splitlines())


@pytest.mark.req("P8")
def test_show_tells_what_an_injection_tried_and_what_stopped_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", file(INJECTED)]) == 0
    said = capsys.readouterr().out
    assert "order_id=ORD-1005 (from untrusted text)" in said
    assert "denied by policy" in said
    assert "support-refund-own-order" in said
    assert "escalated: handed over" in said
    assert "needed" in said


@pytest.mark.parametrize("name", [FORGED, LONG])
def test_every_kind_of_run_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", file(name), "--full"]) == 0
    assert document(name)["run_id"] in capsys.readouterr().out


def test_show_prints_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", file(SMALL), "--json"]) == 0
    story = json.loads(capsys.readouterr().out)
    assert story["report"]["outcome"] == "completed"
    assert story["steps"][0]["calls"][0]["tool"] == "crm.read_ticket"
    assert story["findings"] == []


def test_hostile_text_reaches_no_terminal_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = plain(INJECTED)
    done = next(event for event in history["events"] if "activityTaskCompletedEventAttributes" in event)
    payload = done["activityTaskCompletedEventAttributes"]["result"]["payloads"][0]
    value = json.loads(base64.b64decode(payload["data"]))
    value["content"]["calls"][0]["why"] = "fine\x1b[2J\x1b]0;owned\x07 \u202egnihton [bold]ok[/bold]"
    payload["data"] = base64.b64encode(json.dumps(value).encode()).decode()
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(history))
    assert run(["runs", "show", str(path)]) == 0
    said = capsys.readouterr().out
    assert not set("\x1b\x07\u202e") & set(said)
    assert "U+001B" in said
    assert "U+202E" in said
    assert "[bold]ok[/bold]" in said


def test_replay_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", file(LONG)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("✓ the same: ")
    assert "parts" in said
    assert run(["replay", file(SMALL), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "same"


def test_replay_tells_an_altered_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "altered.json"
    path.write_text((HISTORIES / f"{SMALL}.json").read_text().replace('"RF-', '"RX-'))
    assert run(["replay", str(path)]) == 1
    assert "the readable copy of the payloads differs from the history" in capsys.readouterr().out


def test_a_cut_file_is_said_to_be_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.json"
    path.write_text((HISTORIES / f"{SMALL}.json").read_text()[:20_000])
    assert run(["replay", str(path)]) == 2
    assert "no whole history" in capsys.readouterr().out
    assert run(["runs", "show", str(path)]) == 2
    assert "perhaps it was cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["runs", "show", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["runs", "show", "Not!Valid"], "is neither a file nor a run's id"),
        (["runs", "list", "--tenant", "nobody"], "there is no tenant nobody"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
