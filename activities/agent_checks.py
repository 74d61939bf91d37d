"""The checks of an agent's folder: their instructions read, their functions found, and every mistake with its line."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import cast

from contracts.agent import AgentFile
from contracts.check import CheckFunction, PinnedCheck
from contracts.tool import Tool
from policy.cedar_text import CedarPolicy, cedar_policies
from policy.rungs import named_checks

__all__ = ["check_mistakes", "read_checks"]

_MAX_BYTES = 64_000
Report = Callable[[str, int, str, str, str], None]
"""Takes file, line, rule, message and advice of a mistake."""


def read_checks(
    folder: Path, file: AgentFile, module: ModuleType, line: Callable[..., int], report: Report
) -> tuple[dict[str, PinnedCheck], dict[str, CheckFunction]]:
    """What `agent.yaml` declares as checks: as they are pinned, and the functions by name."""
    pinned: dict[str, PinnedCheck] = {}
    functions: dict[str, CheckFunction] = {}
    for name, check in file.checks.items():
        place = line("checks", name)
        if check.function:
            function = cast("object", getattr(module, check.function, None))
            if callable(function) and not isinstance(function, Tool):
                functions[check.function] = cast("CheckFunction", function)
                pinned[name] = PinnedCheck(kind="function", function=check.function)
            else:
                advice = f"Define `def {check.function}(facts: CheckFacts) -> CheckVerdict`."
                report("agent.yaml", place, "check-missing", f"tools.py has no function `{check.function}`", advice)
            continue
        if check.model not in file.models:
            advice = f"Roles here: {', '.join(sorted(file.models))}."
            report("agent.yaml", place, "check-model", f"no model has the role `{check.model}`", advice)
        instructions = _instructions(folder / check.prompt, folder)
        if instructions is None:
            advice = f"Write at most {_MAX_BYTES} bytes of UTF-8 there: what the second model is to look at."
            report("agent.yaml", place, "check-prompt", f"`{check.prompt}` cannot be read or is empty", advice)
        else:
            pinned[name] = PinnedCheck(kind="model", instructions=instructions, role=check.model)
    return pinned, functions


def check_mistakes(policy_text: str, declared: Mapping[str, object], report: Report) -> None:
    """Checks that policies ask for and nobody can make: what waits for one of them is denied for ever."""
    for part in cedar_policies(policy_text):
        if isinstance(part, CedarPolicy):
            for name in named_checks(part):
                if name not in declared:
                    known = ", ".join(sorted(declared)) or "none"
                    message = f"policy `{part.id}` asks for the check `{name}`, which agent.yaml does not declare"
                    report("policy.cedar", part.line, "check-unknown", message, f"Checks here: {known}.")


def _instructions(file: Path, folder: Path) -> str | None:
    try:
        if not file.resolve().is_relative_to(folder.resolve()) or file.stat().st_size > _MAX_BYTES:
            return None
        return file.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
