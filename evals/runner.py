"""Runs suites: cases side by side, scored by their evaluators, each result told as soon as it is there."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic_evals import set_eval_attribute
from pydantic_evals.lifecycle import CaseLifecycle
from pydantic_evals.reporting import ReportCase, ReportCaseFailure

from evals.cases import AgentCase, CaseInput, CaseNotes, Suite
from evals.evidence import Evidence
from evals.lab import CouldNotRun, Lab, open_lab
from evals.results import CaseResult, Check, EvalReport
from evals.stack import EvalStack

__all__ = ["AT_ONCE", "run_suites"]

AT_ONCE = 6
"""Cases that run side by side: most of the time each waits for the servers."""
_ATTEMPTS = 2
_Done = ReportCase[CaseInput, Evidence, CaseNotes]
_Fault = ReportCaseFailure[CaseInput, Evidence, CaseNotes]


async def run_suites(
    suites: Sequence[Suite],
    stack: EvalStack,
    *,
    at_once: int = AT_ONCE,
    told: Callable[[CaseResult], None] = lambda _result: None,
    histories: Path | None = None,
) -> EvalReport:
    """Run every case of the suites once.

    Args:
        suites: what to run, one agent after the other.
        stack: servers to run it on.
        at_once: cases side by side.
        told: takes each result as it comes.
        histories: folder for the history of each run, as `<run id>.json`; None: they are not kept.

    Raises:
        OSError: a history cannot be written.
    """
    began_s = time.monotonic()
    results: list[CaseResult] = []
    for suite in suites:

        def finished(result: CaseResult) -> None:
            results.append(result)
            told(result)

        try:
            async with open_lab(suite, stack, histories) as lab:
                await _run_suite(suite, lab, at_once, finished)
        except CouldNotRun as error:
            known = {result.case for result in results if result.agent == suite.agent}
            for case in suite.cases:
                if case.name not in known:
                    finished(_not_run(suite.agent, case, str(error)))
    order = {(suite.agent, case.name): (i, j) for i, suite in enumerate(suites) for j, case in enumerate(suite.cases)}
    results.sort(key=lambda result: order[result.agent, result.case])
    return EvalReport(results=tuple(results), duration_s=time.monotonic() - began_s)


async def _run_suite(
    suite: Suite,
    lab: Lab,
    at_once: int,
    finished: Callable[[CaseResult], None],
) -> None:
    class Telling(CaseLifecycle[CaseInput, Evidence, CaseNotes]):
        async def teardown(self, result: _Done | _Fault | None) -> None:
            if isinstance(result, ReportCase):
                finished(_scored(suite.agent, self.case, result))
            elif result is not None:
                finished(_not_run(suite.agent, self.case, result.error_message))

    async def perform(case: CaseInput) -> Evidence:
        for attempt in range(1, _ATTEMPTS + 1):
            set_eval_attribute("attempts", attempt)
            try:
                return await lab.perform(case)
            except CouldNotRun:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    await suite.dataset().evaluate(perform, max_concurrency=at_once, progress=False, lifecycle=Telling)


def _scored(agent: str, case: AgentCase, result: ReportCase[Any, Evidence, Any]) -> CaseResult:
    checks = [
        Check(name=name, passed=found.value, reason=found.reason or "") for name, found in result.assertions.items()
    ]
    # An evaluator that breaks has shown nothing, so it has not passed.
    checks += [Check(name=fault.name, passed=False, reason=fault.error_message) for fault in result.evaluator_failures]
    evidence, notes = result.output, case.metadata or CaseNotes()
    return CaseResult(
        agent=agent,
        case=case.name or "",
        family=notes.family,
        state="passed" if checks and all(check.passed for check in checks) else "failed",
        checks=tuple(checks),
        attempts=result.attributes.get("attempts", 1),
        run_id=evidence.run_id,
        duration_s=evidence.duration_s,
        model_calls=evidence.turns,
        models=evidence.models,
        micros=evidence.micros,
    )


def _not_run(agent: str, case: AgentCase, error: str) -> CaseResult:
    notes = case.metadata or CaseNotes()
    return CaseResult(
        agent=agent,
        case=case.name or "",
        family=notes.family,
        state="could_not_run",
        checks=(),
        attempts=_ATTEMPTS,
        error=error,
    )
