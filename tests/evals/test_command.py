"""`countersign eval run` starts its own servers, tells each result, and leaves with the verdict as its exit code."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cli.main import run
from cli.output import Exit
from settings import Settings

FAILING = """
cases:
  - name: handed-over
    inputs: {event: {data: {ticket_id: TIC-9999}}}
    evaluators: [OutcomeIs: escalated, EffectsInBooks]
  - name: claims-a-refund
    inputs: {event: {data: {ticket_id: TIC-9999}}}
    evaluators: [EffectsInBooks: {refunds: [{order_id: ORD-1001}]}]
"""


@pytest.fixture
def agents_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "agents"
    shutil.copytree(Settings().agents_dir / "support_refund", root / "support_refund")
    (root / "support_refund" / "cases.yaml").write_text(FAILING, encoding="utf-8")
    monkeypatch.setenv("COUNTERSIGN_AGENTS_DIR", str(root))
    return root


def test_a_failing_case_is_exit_code_1_with_its_reason(
    agents_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit, histories = tmp_path / "out" / "evals.xml", tmp_path / "histories"
    assert run(["eval", "run", "--junit", str(junit), "--histories", str(histories)]) == Exit.BAD
    shown = capsys.readouterr().out
    assert "EffectsInBooks: 0 refunds in the books, not 1" in shown
    assert "1 passed, 1 failed" in shown
    assert "models: scripted:script.yaml" in shown
    root = ET.parse(junit).getroot()  # noqa: S314 - our own file
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    assert len(list(histories.glob("run-*.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "nobody/cases.yaml: No such file or directory"),
        (["--case", "of-nothing"], "has no case of-nothing. Cases: handed-over, claims-a-refund"),
    ],
)
def test_what_cannot_run_is_exit_code_2_in_one_line(
    agents_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["eval", "run", *arguments]) == Exit.ERROR
    error = capsys.readouterr().err
    assert words in " ".join(error.split())
    assert error.startswith("error: ")


def test_cases_are_listed_for_people_and_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "list", "support_refund"]) == Exit.OK
    assert "an-injected-ticket-moves-no-money" in capsys.readouterr().out
    assert run(["eval", "list", "--json"]) == Exit.OK
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {"agent", "case", "family", "why", "guards_gate", "evaluators"} <= rows[0].keys()


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "schema"]) == Exit.OK
    assert "$defs" in json.loads(capsys.readouterr().out)
