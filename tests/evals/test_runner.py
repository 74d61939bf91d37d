"""Faults of the stack are told apart from failures; a history that is cut shows nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from cli.eval_stack import SEED_FILE
from evals.cases import Suite, World
from evals.evaluators import OfRun
from evals.observe import observe
from evals.results import CaseResult
from evals.runner import run_suites
from evals.stack import EvalStack
from evals.world import BackOffice
from incidents.export import read_history
from incidents.tell import tell
from tests.evals.scene import judged
from tests.examples.server import ADMIN_TOKEN, Server

QUICK = ("an-unknown-ticket-goes-to-a-person",)


class Unsteady(BackOffice):
    """A back office that cannot be reached, a number of times."""

    def __init__(self, url: str, absent: int) -> None:
        super().__init__(url, ADMIN_TOKEN, SEED_FILE)
        self._absent = absent

    async def make(self, tenant: str, world: World) -> None:
        if self._absent:
            self._absent -= 1
            raise httpx.ConnectError("refused")
        await super().make(tenant, world)


@pytest.mark.parametrize(("absent", "state", "attempts"), [(1, "passed", 2), (2, "could_not_run", 2)])
async def test_a_fault_of_the_stack_is_met_once_more_and_then_reported_apart(
    stack: EvalStack, suite: Suite, backoffice: Server, absent: int, state: str, attempts: int
) -> None:
    async with Unsteady(backoffice.url, absent) as world:
        report = await run_suites([suite.only(QUICK)], replace(stack, world=world))
    [result] = report.results
    assert (result.state, result.attempts, report.verdict) == (state, attempts, state)
    assert ("refused" in result.error) is (state == "could_not_run")


async def test_a_stack_that_is_not_there_runs_nothing_and_passes_nothing(
    stack: EvalStack, suite: Suite, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    gone = replace(stack, settings=stack.settings.model_copy(update={"temporal_address": address}))
    report = await run_suites([suite.only(QUICK)], gone)
    assert (report.verdict, report.results[0].checks) == ("could_not_run", ())


async def test_a_world_that_cannot_be_is_the_cases_own_mistake(stack: EvalStack, suite: Suite) -> None:
    one = suite.only(QUICK)
    [case] = one.cases
    case.inputs = case.inputs.model_copy(update={"world": World(orders=({"order_id": "ORD-1"},))})
    report = await run_suites([one], stack)
    assert report.verdict == "could_not_run"
    assert "the back office refuses /admin/tenants" in report.results[0].error


async def test_a_run_that_does_not_end_fails_and_is_not_run_again(stack: EvalStack, suite: Suite) -> None:
    one = suite.only(("a-denied-refund-is-not-made",))
    [case] = one.cases
    case.inputs = case.inputs.model_copy(update={"votes": (), "limit_s": 4})
    report = await run_suites([one], stack)
    [result] = report.results
    assert (result.state, result.attempts) == ("failed", 1)
    assert all("did not finish in time" in check.reason for check in result.checks)


async def test_a_kept_history_gives_the_same_verdicts_and_a_cut_one_none(
    stack: EvalStack, suite: Suite, tmp_path: Path
) -> None:
    one = suite.only(("a-large-refund-waits-for-a-support-lead",))
    told: list[CaseResult] = []
    await run_suites([one], stack, histories=tmp_path / "histories", told=told.append)
    [result] = told
    assert result.state == "passed", result.problems
    history = read_history(tmp_path / "histories" / f"{result.run_id}.json")
    whole = observe(tell(history), tenant="case", books=None)
    assert not whole.gap()
    assert [seen.by for seen in whole.approvals] == [("lena",)]
    [case] = one.cases
    for count in (5, 20, len(history.links[0].events) - 1):
        events = list(history.links[0].events)[:count]
        cut = replace(history, links=(replace(history.links[0], events=events),))
        evidence = observe(tell(cut), tenant="case", books=None)
        for evaluator in case.evaluators:
            assert isinstance(evaluator, OfRun)
            assert (await judged(evaluator, evidence)).startswith("no evidence: ")
