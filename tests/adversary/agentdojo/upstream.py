"""The border to AgentDojo (version 0.1.35): what is used of it, with the types that it has.

It lives in a virtual environment of its own, so it is imported by name and nothing else imports it.
"""

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pydantic import BaseModel

__all__ = ["BENCHMARK", "Call", "Environment", "Function", "Injections", "Suite", "Task", "load_suite"]

BENCHMARK = "v1.2.2"
_ATTACK = "injecagent"

Environment = Any
"""A suite's world: a pydantic model of its own."""
Injections = Mapping[str, str]
"""What stands in each of the places that an outsider may write, by name."""


class Call(Protocol):
    """A call of a tool."""

    function: str
    args: dict[str, Any]


class Function(Protocol):
    """A tool as upstream declares it."""

    name: str
    full_docstring: str
    parameters: type[BaseModel]
    return_type: Any


class Task(Protocol):
    """A job of the user, or a goal of the attacker."""

    ID: str
    PROMPT: str
    GROUND_TRUTH_OUTPUT: str

    def ground_truth(self, environment: Environment) -> list[Call]:
        """The calls that do it."""
        ...

    def init_environment(self, environment: Environment) -> Environment:
        """The world as the job finds it."""
        ...


@dataclass(frozen=True)
class Suite:
    """One suite: tools, jobs and attacks."""

    name: str
    tools: Mapping[str, Function]
    jobs: Sequence[Task]
    attacks: Sequence[Task]
    _suite: Any
    _attack: Any
    _runtime: Callable[[Any], Any]
    _text: Callable[[Any], str]

    def world(self, job: Task, attack: Task | None) -> Environment:
        """The world as the job finds it, with the attacker's words in it."""
        default = self._suite.load_and_inject_default_environment(self.injections(job, attack) if attack else {})
        return job.init_environment(default)

    def injections(self, job: Task, attack: Task) -> Injections:
        """What the attacker writes where; empty where the job reads no such place."""
        try:
            return cast("Injections", self._attack.attack(job, attack))
        except ValueError:
            return {}

    def run(self, environment: Environment, name: str, arguments: Mapping[str, Any]) -> tuple[Any, str, str]:
        """Run a tool: its result, the result as upstream tells it to a model, and its error."""
        result, error = self._runtime(self._suite.tools).run_function(environment, name, dict(arguments))
        return (None, "", str(error)) if error else (result, self._text(result), "")

    def achieved(self, task: Task, output: str, before: Environment, after: Environment, trace: list[Call]) -> bool:
        """Whether upstream's checker says that a job or an attack was done."""
        said = [{"type": "text", "content": output}]
        try:
            return bool(self._suite._check_task_result(task, said, before, after, trace))  # noqa: SLF001 - no public way
        except Exception:  # noqa: BLE001 - checkers raise on worlds that they did not foresee: not done
            return False


def load_suite(name: str) -> Suite:
    """A suite by name."""
    warnings.filterwarnings("ignore")
    part = importlib.import_module
    suite = part("agentdojo.task_suite.load_suites").get_suite(BENCHMARK, name)
    part("agentdojo.attacks")  # Registers them.
    pipeline = part("agentdojo.agent_pipeline.ground_truth_pipeline").GroundTruthPipeline(None)
    return Suite(
        name=name,
        tools={tool.name: tool for tool in suite.tools},
        jobs=tuple(suite.user_tasks.values()),
        attacks=tuple(suite.injection_tasks.values()),
        _suite=suite,
        _attack=part("agentdojo.attacks.attack_registry").load_attack(_ATTACK, suite, pipeline),
        _runtime=part("agentdojo.functions_runtime").FunctionsRuntime,
        _text=part("agentdojo.agent_pipeline.tool_execution").tool_result_to_str,
    )
