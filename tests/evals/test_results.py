"""Verdicts, and how they reach a CI system."""

from xml.etree import ElementTree as ET

import pytest

from evals.junit import junit_xml
from evals.results import CaseResult, Check, EvalReport, State


def result(name: str, state: State, reason: str = "no") -> CaseResult:
    checks = () if state == "could_not_run" else (Check(name="OutcomeIs", passed=state == "passed", reason=reason),)
    error = reason if state == "could_not_run" else ""
    return CaseResult(
        agent="some_agent", case=name, family="all", state=state, checks=checks, error=error, run_id="run-1"
    )


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "failed"], "failed"),
        (["failed", "could_not_run"], "failed"),
        (["passed", "could_not_run"], "could_not_run"),
        ([], "could_not_run"),
    ],
)
def test_one_case_decides_and_none_at_all_has_not_passed(states: list[State], verdict: State) -> None:
    report = EvalReport(results=tuple(result(str(n), state) for n, state in enumerate(states)), duration_s=1)
    assert report.verdict == verdict


def test_junit_tells_failures_from_errors_and_survives_any_text() -> None:
    hostile = 'a <b> & "c" ]]> \x00\x1b[31m ü'
    results = (
        result("a", "passed"),
        result("b", "failed", hostile),
        result("c", "could_not_run", "Temporal: UNAVAILABLE"),
    )
    root = ET.fromstring(junit_xml(EvalReport(results=results, duration_s=2.5)))  # noqa: S314 - written a line ago
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    [failure], [error] = root.findall(".//failure"), root.findall(".//error")
    assert 'OutcomeIs: a <b> & "c" ]]> \ufffd\ufffd[31m ü' in str(failure.get("message"))
    assert error.get("message") == "Temporal: UNAVAILABLE"
    assert "run run-1" in str(failure.text)
