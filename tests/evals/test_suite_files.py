"""A `cases.yaml` that could never fail, or says something other than its author thinks, is refused with the reason."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from evals.cases import CasesError, Suite, load_suite
from evals.schema import cases_schema
from settings import Settings

SCHEMA_FILE = Path(__file__).parents[2] / "evals" / "cases.schema.json"
INPUTS = "{event: {data: {ticket_id: T}}}"
CASE = f"{{name: a, inputs: {INPUTS}, evaluators: [OutcomeIs: completed]}}"


def load(root: Path, text: str) -> Suite:
    (root / "some_agent").mkdir(exist_ok=True)
    (root / "some_agent" / "cases.yaml").write_text(text, encoding="utf-8")
    return load_suite(root, "some_agent")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cases: []", "0 cases; a suite has 1 to"),
        (f"cases: [{{name: a, inputs: {INPUTS}}}]", "case a has no evaluators: it would pass whatever happens"),
        (f"cases: [{{inputs: {INPUTS}, evaluators: [OutcomeIs: completed]}}]", "a case has no name"),
        (
            f"cases: [{{name: a, inputs: {INPUTS}, evaluators: [HasMatchingSpan: {{query: {{name_equals: x}}}}]}}]",
            "HasMatchingSpan does not read runs. Use RequiredCalls",
        ),
        (f"cases: [{{name: a, inputs: {INPUTS}, evaluators: [OutcomeWas: completed]}}]", "'OutcomeWas' is not in"),
        (f"cases: [{{name: a, inputs: {INPUTS}, evaluators: [OutcomeIs: fine]}}]", "Failed to instantiate"),
        ("cases: [{name: a, inputs: {event: {data: {}, kind: x}}, evaluators: [OutcomeIs: completed]}]", "kind"),
        (
            f"cases: [{CASE}, {CASE}]",
            "Duplicate case name: 'a'",
        ),
        (
            f"cases: [{CASE[:-1]}, expected_output: {{run_id: r, tenant: t}}}}]",
            "has an expected_output",
        ),
        ("cases: [", "cases.yaml"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CasesError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)
    assert str(tmp_path / "some_agent" / "cases.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(CasesError, match="No such file"):
        load_suite(tmp_path, "nobody")


def test_the_files_own_evaluators_hold_for_every_case(tmp_path: Path) -> None:
    suite = load(tmp_path, f"evaluators: [OutcomeIs: completed]\ncases: [{{name: a, inputs: {INPUTS}}}]")
    assert [len(case.evaluators) for case in suite.cases] == [1]


def test_cases_are_chosen_by_name(tmp_path: Path, suite: Suite) -> None:
    assert [case.name for case in suite.only(("a-small-refund-runs-alone",)).cases] == ["a-small-refund-runs-alone"]
    with pytest.raises(CasesError, match="has no case of-nothing"):
        suite.only(("of-nothing",))


def test_the_schema_for_editors_is_current_and_fits_the_projects_files() -> None:
    schema = cases_schema()
    assert json.loads(SCHEMA_FILE.read_text("utf-8")) == schema, (
        "renew it: countersign eval schema > evals/cases.schema.json"
    )
    validator: Any = Draft202012Validator(schema)
    files = sorted(Settings().agents_dir.glob("*/cases.yaml"))
    assert files
    for file in files:
        validator.validate(yaml.safe_load(file.read_text("utf-8")))


def test_the_schema_knows_a_mistyped_evaluator() -> None:
    validator: Any = Draft202012Validator(cases_schema())
    mistyped: dict[str, Any] = {
        "cases": [{"name": "a", "inputs": {"event": {"data": {}}}, "evaluators": [{"OutcomeWas": "completed"}]}]
    }
    assert not validator.is_valid(mistyped)
