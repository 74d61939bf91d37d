"""`countersign send` and `countersign events` as a person types them, against a real intake."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import run
from settings import get_settings
from tests.conftest import DatabaseAddresses
from tests.workers.intake.sending import ENDPOINT, event
from tests.workers.intake.server import Intake
from workers.embedded.ports import some_free


@pytest.fixture(scope="module")
def running_intake(tmp_path_factory: pytest.TempPathFactory, module_database: DatabaseAddresses) -> Iterator[Intake]:
    folder = tmp_path_factory.mktemp("intake")
    with Intake(folder, some_free(), database=module_database.url, owner_database=module_database.owner_url) as process:
        yield process


@pytest.fixture
def intake(running_intake: Intake, monkeypatch: pytest.MonkeyPatch) -> Intake:
    """The command reads the same settings as the process."""
    for name, value in running_intake.settings.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name.upper()}", value)
    get_settings.cache_clear()
    return running_intake


@pytest.fixture
def ticket(tmp_path: Path) -> Path:
    file = tmp_path / "ticket.json"
    file.write_text(json.dumps({"ticket_id": "TCK-2001"}))
    return file


def test_data_alone_is_sent_with_a_type(intake: Intake, ticket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["send", str(ticket), "--endpoint", ENDPOINT, "--type", "ticket.created", "--id", "evt-7"]
    assert run(arguments) == 0
    first = capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["status"] == "duplicate"
    assert first.splitlines() == [receipt["run_id"], f"Watch it: countersign runs watch {receipt['run_id']}"]
    assert "/helpdesk/acme#evt-7" in {row["event_id"] for row in intake.rows()}


def test_event_is_sent_as_it_is(intake: Intake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event("evt-8")))
    assert run(["send", str(file), "--endpoint", ENDPOINT]) == 0
    file.write_text(json.dumps(event("evt-8", data={"ticket_id": "other"})))
    assert run(["send", str(file), "--endpoint", ENDPOINT]) == 1
    assert "error: refused (event_conflict): Another event was accepted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["send", "{absent}", "--endpoint", ENDPOINT], "cannot be read: No such file"),
        (["send", "{ticket}"], "name the endpoint: --endpoint globex-tickets|support-tickets."),
        (["send", "{ticket}", "--endpoint", "none"], "there is no endpoint none. Endpoints: globex-tickets"),
        (["send", "{ticket}", "--endpoint", ENDPOINT], "it has no specversion). Say its --type: ticket.created."),
        (["events", "list", "--tenant", "none"], "there is no tenant none. Tenants: acme, globex."),
        (["events", "retry"], "name one run, or say --all."),
    ],
)
def test_wrong_usage_says_what_to_do(
    intake: Intake, ticket: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([part.format(ticket=ticket, absent=ticket.with_name("absent")) for part in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_unreachable_intake_says_so(intake: Intake, ticket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{some_free()}"
    command = ["send", str(ticket), "--endpoint", ENDPOINT, "--type", "ticket.created", "--url", url]
    assert run(command) == 2
    assert "does not answer (ConnectError). Is the stack up?" in capsys.readouterr().err


def test_inbox_is_listed_and_driven_on(intake: Intake, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = intake.send(event("evt-9")).json()["run_id"]
    assert run(["events", "list", "--json", "--tenant", "acme"]) == 0
    rows = {row["run_id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[run_id]["state"] == "received"
    assert run(["events", "list"]) == 0
    assert run_id in capsys.readouterr().out
    assert run(["events", "list", "--state", "quarantined"]) == 0
    assert capsys.readouterr().out == "no events\n"
    assert run(["events", "retry", run_id]) == 1
    assert f"no event of {run_id} is set aside" in capsys.readouterr().err
    assert run(["events", "retry", "--all"]) == 0
    assert capsys.readouterr().out == "nothing is set aside\n"
