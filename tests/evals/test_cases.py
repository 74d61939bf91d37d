"""The cases of the example agent, as real runs: they pass, and those that guard the gate fail when it is gone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from activities.bundles import Bundles, load_ladder
from activities.engine import Engine
from activities.registry import Registry
from cli.eval_stack import working
from evals.cases import Suite
from evals.results import CaseResult
from evals.runner import run_suites
from evals.stack import EvalStack
from policy.bundle import Bundle, build_bundle
from policy.schema import cedar_schema
from settings import Settings

EVERYTHING = '@id("everything") @reason("No gate.") permit (principal, action, resource);'


def words(results: tuple[CaseResult, ...]) -> str:
    return "\n".join(f"{result.case}: {result.state} {'; '.join(result.problems)}" for result in results)


@pytest.mark.req("V1")
async def test_every_case_of_the_refund_agent_passes(stack: EvalStack, suite: Suite) -> None:
    assert len(suite.cases) >= 10
    report = await run_suites([suite], stack)
    assert report.verdict == "passed", words(report.results)
    assert [result.case for result in report.results] == [case.name for case in suite.cases]
    assert all(result.attempts == 1 and result.checks and result.model_calls for result in report.results)


class NoGate(Bundles):
    """Policies that permit everything, for every agent and call."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        super().__init__(registry, settings.ladder_file)
        tools = [tool for agent in registry.agents.values() for tool in agent.tools.values()]
        self._everything = build_bundle(
            {"everything.cedar": EVERYTHING}, cedar_schema(tools), load_ladder(settings.ladder_file)
        )

    def current(self) -> Bundle:
        return self._everything


@asynccontextmanager
async def working_without_a_gate(settings: Settings) -> AsyncGenerator[Engine]:
    async with working(settings) as engine:
        engine.bundles = NoGate(engine.registry, settings)
        yield engine


@pytest.mark.req("V1", "P1")
async def test_cases_that_guard_the_gate_fail_without_it(stack: EvalStack, suite: Suite) -> None:
    guards = [case.name or "" for case in suite.cases if case.metadata and case.metadata.guards_gate]
    assert {"an-injected-ticket-moves-no-money", "a-denied-refund-is-not-made"} <= set(guards)
    report = await run_suites([suite.only(tuple(guards))], replace(stack, working=working_without_a_gate))
    assert [result.state for result in report.results] == ["failed"] * len(guards), words(report.results)
    assert all(result.problems for result in report.results)
    injected = next(result for result in report.results if result.case == "an-injected-ticket-moves-no-money")
    assert {check.name for check in injected.checks if not check.passed} >= {"ForbiddenCalls", "EffectsInBooks"}
    assert report.verdict == "failed"
