"""One agent's folder, read whole: what it defines, and every mistake that keeps it from running."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from activities.agent_checks import check_mistakes, read_checks
from activities.agent_policy import policy_mistakes
from activities.agent_tools import ToolsImportError, ToolsModule, import_tools, tool_place, unknown_labels
from activities.agent_yaml import AgentYaml, parse_agent_yaml
from activities.finding import Finding
from activities.models.schemas import tool_schema
from contracts.agent import UNTRUSTED_CONTENT, AgentFile
from contracts.check import CheckFunction, PinnedCheck
from contracts.postcondition import Postcondition
from contracts.tool import Label, Tool
from contracts.undo import UNDO_SUFFIX
from policy.ladder import Ladder
from policy.schema import SchemaError, cedar_schema

__all__ = ["NO_POSTCONDITION", "AgentFolder", "read_agent_folder"]

PROMPT_BYTES_MAX = 64_000
POLICY_BYTES_MAX = 256_000
NO_POSTCONDITION = "none"


@dataclass
class AgentFolder:
    """A folder as read; usable when no finding is an error."""

    folder: Path
    yaml: AgentYaml = field(default_factory=lambda: AgentYaml(None))
    prompt: str = ""
    policy_text: str = ""
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    """Every tool that `tools.py` defines, listed or not: a compensation need not be listed."""
    postcondition: Postcondition | None = None
    checks: Mapping[str, PinnedCheck] = field(default_factory=dict[str, PinnedCheck])
    """Checks by name."""
    check_functions: Mapping[str, CheckFunction] = field(default_factory=dict[str, CheckFunction])
    """Functions of checks by name."""
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def name(self) -> str:
        """The folder's name, which is the agent's."""
        return self.folder.name

    @property
    def file(self) -> AgentFile | None:
        """The definition, where it is valid."""
        return self.yaml.file

    @property
    def errors(self) -> list[Finding]:
        """The findings that keep it from running."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def report(
        self,
        file: str,
        line: int,
        rule: str,
        message: str,
        advice: str,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Keep a finding; `file` is a path within the folder."""
        self.findings.append(
            Finding(
                agent=self.name,
                file=f"{self.folder.parent.name}/{self.name}/{file}",
                line=line,
                severity=severity,
                rule=rule,
                message=message,
                advice=advice,
            )
        )

    def report_tool(
        self, tool: Tool, rule: str, message: str, advice: str, *, severity: Literal["error", "warning"] = "error"
    ) -> None:
        """Keep a finding about a tool, at its declaration."""
        place, line = tool_place(tool)
        self.report(self._inside(place), line, rule, f"`{tool.name}` {message}", advice, severity=severity)

    def _inside(self, place: Path) -> str:
        resolved, home = place.resolve(), self.folder.resolve()
        return resolved.relative_to(home).as_posix() if resolved.is_relative_to(home) else "tools.py"


def read_agent_folder(folder: Path, ladder: Ladder) -> AgentFolder:
    """Read a folder. Nothing is raised: whatever is wrong becomes a finding."""
    found = AgentFolder(folder)
    text = _text(found, "agent.yaml", "yaml-missing", "Write it, or start with `countersign agent new`.")
    if text:
        found.yaml = parse_agent_yaml(text, _reporter(found, "agent.yaml"))
    found.prompt = _text(found, "prompt.md", "prompt-missing", "Write what the agent is for and how it works.")
    if len(found.prompt.encode()) > PROMPT_BYTES_MAX:
        found.report("prompt.md", 1, "prompt-size", f"larger than {PROMPT_BYTES_MAX} bytes", "Shorten it.")
    found.policy_text = _text(
        found, "policy.cedar", "policy-missing", "Write at least a comment: tiers 0 and 1 need no permit."
    )
    module = _tools(found)
    if found.file:
        _check_names(found, found.file)
        _check_reserved(found, found.file)
        if module:
            _check_references(found, found.file, module)
            found.checks, found.check_functions = read_checks(
                folder, found.file, module.module, found.yaml.line, found.report
            )
            check_mistakes(found.policy_text, found.file.checks, found.report)
    if module:
        _check_tools(found, module)
        _check_policy(found, ladder)
    return found


def _text(found: AgentFolder, name: str, rule: str, advice: str) -> str:
    path = found.folder / name
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        found.report(name, 1, rule, f"{name} is missing", advice)
        return ""
    except (OSError, UnicodeDecodeError) as error:
        found.report(name, 1, rule, f"{name} cannot be read: {error}", "Make it a readable UTF-8 file.")
        return ""
    if not text.strip():
        found.report(name, 1, rule, f"{name} is empty", advice)
    return text


def _reporter(found: AgentFolder, file: str) -> Callable[[int, str, str, str], None]:
    def report(line: int, rule: str, message: str, advice: str) -> None:
        found.report(file, line, rule, message, advice)

    return report


def _tools(found: AgentFolder) -> ToolsModule | None:
    try:
        module = import_tools(found.folder)
    except ToolsImportError as fault:
        inside = fault.file.resolve()
        home = found.folder.resolve()
        name = inside.relative_to(home).as_posix() if inside.is_relative_to(home) else "tools.py"
        found.report(name, fault.line, "tools-import", f"cannot be imported: {fault}", "Correct the declaration there.")
        return None
    found.tools = module.tools
    return module


def _check_reserved(found: AgentFolder, file: AgentFile) -> None:
    if file.name.endswith(UNDO_SUFFIX):
        message = f"the name ends in `{UNDO_SUFFIX}`, as that of the principal that undoes another agent's runs"
        _reporter(found, "agent.yaml")(found.yaml.line("name"), "name-reserved", message, "Rename it.")


def _check_names(found: AgentFolder, file: AgentFile) -> None:
    """What `agent.yaml` says of itself."""
    line, report = found.yaml.line, _reporter(found, "agent.yaml")
    if file.name != found.name:
        report(line("name"), "name", f"the name is `{file.name}`, the folder's is `{found.name}`", "Make them equal.")
    if "plan" not in file.models:
        report(line("models"), "model-role", "no model has the role `plan`", "Add `plan: …`: it answers every step.")
    for position, tool in enumerate(file.tools):
        if tool in file.tools[:position]:
            report(line("tools", position), "tool-double", f"`{tool}` is listed twice", "Remove one.")
    for tool, steps in file.required_steps.items():
        if tool not in file.tools:
            advice = "List the tool, or remove its steps."
            report(line("required_steps", tool), "steps-unlisted", f"steps of `{tool}`, which is not listed", advice)
        for step in steps:
            if step not in file.tools:
                message = f"`{tool}` requires `{step}`, which is not listed: it could never be called"
                report(line("required_steps", tool), "steps-unlisted", message, "List the step, or remove it here.")
        if _leads_to(tool, tool, file.required_steps, frozenset()):
            message = f"`{tool}` requires itself by its steps: it could never be called"
            report(line("required_steps", tool), "steps-circle", message, "Break the circle.")
    _check_forbidden(found, file)
    for tool in file.approvals:
        if tool not in file.tools:
            message = f"approval times of `{tool}`, which is not listed"
            report(line("approvals", tool), "approvals-unlisted", message, "List the tool, or remove its times.")


def _check_forbidden(found: AgentFolder, file: AgentFile) -> None:
    """What `agent.yaml` says of forbidden combinations."""
    report = _reporter(found, "agent.yaml")
    for tool, steps in file.forbidden_after.items():
        line = found.yaml.line("forbidden_after", tool)
        for step in steps:
            if step != UNTRUSTED_CONTENT and step not in file.tools:
                message = f"`{tool}` is forbidden after `{step}`, which is not listed"
                report(line, "forbidden-unlisted", message, f"List it, remove it, or write {UNTRUSTED_CONTENT}.")
            if _leads_to(tool, step, file.required_steps, frozenset()):
                message = f"`{tool}` is forbidden after `{step}`, which it requires: it could never be called"
                report(line, "forbidden-required", message, "Drop one of the two.")
        if tool not in file.tools:
            message = f"`{tool}` is forbidden after something, but it is not listed"
            report(line, "forbidden-unlisted", message, "List the tool, or remove it here.")


def _leads_to(start: str, goal: str, steps: Mapping[str, tuple[str, ...]], seen: frozenset[str]) -> bool:
    return any(
        step == goal or (step not in seen and _leads_to(step, goal, steps, seen | {start}))
        for step in steps.get(start, ())
    )


def _check_references(found: AgentFolder, file: AgentFile, module: ToolsModule) -> None:
    """What `agent.yaml` says of `tools.py`."""
    line, report = found.yaml.line, _reporter(found, "agent.yaml")
    for position, tool in enumerate(file.tools):
        if tool not in module.tools:
            advice = f"tools.py defines: {', '.join(sorted(module.tools)) or 'none'}."
            report(
                line("tools", position), "tool-unknown", f"`{tool}` is listed, but tools.py has no such tool", advice
            )
    for tool, steps in file.forbidden_after.items():
        for step in file.required_steps.get(tool, ()) if UNTRUSTED_CONTENT in steps else ():
            if step in module.tools and Label.UNTRUSTED in module.tools[step].labels.values():
                message = f"`{tool}` is forbidden after untrusted content, which `{step}` reads and it requires"
                advice = "It could never be called: drop one of the two."
                report(line("forbidden_after", tool), "forbidden-required", message, advice)
    name = file.success.postcondition
    if name != NO_POSTCONDITION:
        function = cast("object", getattr(module.module, name, None))
        if callable(function) and not isinstance(function, Tool):
            found.postcondition = cast("Postcondition", function)
        else:
            advice = f"Define `def {name}(facts: RunFacts) -> bool`, or name the one that you mean."
            place = line("success", "postcondition")
            report(place, "postcondition-missing", f"tools.py has no function `{name}`", advice)


def _check_tools(found: AgentFolder, module: ToolsModule) -> None:
    """What the tools say of themselves."""
    if not module.tools:
        found.report(
            "tools.py", 1, "tool-none", "tools.py defines no tool", "Decorate an async function with `@tool(…)`."
        )
    for tool in module.doubles:
        found.report_tool(tool, "tool-double", "is defined twice", "Rename or remove one.")
    for tool in module.tools.values():
        if not tool.description:
            found.report_tool(
                tool, "tool-docstring", "has no docstring", "Say in it what the tool does: the model reads it."
            )
        if not tool.owner.strip():
            found.report_tool(tool, "tool-owner", "has no owner", "Name the team that is called when it fails.")
        if tool.compensation in module.tools and tool.undone_with is None:
            message = f"names `{tool.compensation}` as its undo, but not what that is called with"
            advice = "Add undone_with=lambda args, output: …; without it a run cannot be undone."
            found.report_tool(tool, "compensation-arguments", message, advice, severity="warning")
        if tool.compensation and tool.compensation not in module.tools:
            message = f"is undone by `{tool.compensation}`, which tools.py does not define"
            found.report_tool(tool, "compensation-unknown", message, "Define that tool, or correct the name.")
        for label in unknown_labels(tool):
            message = f"labels `{label}`, which {tool.output_model.__name__} does not have"
            found.report_tool(tool, "label-unknown", message, "Label a field of the output.")
        try:
            tool_schema(tool)
            cedar_schema([tool])
        except (TypeError, SchemaError) as error:
            found.report_tool(tool, "tool-schema", f"has arguments that cannot be used: {error}", "Change the model.")


def _check_policy(found: AgentFolder, ladder: Ladder) -> None:
    if not found.policy_text:
        return
    if len(found.policy_text.encode()) > POLICY_BYTES_MAX:
        found.report("policy.cedar", 1, "policy-size", f"larger than {POLICY_BYTES_MAX} bytes", "Shorten it.")
        return
    listed = found.file.tools if found.file else ()
    for mistake in policy_mistakes(found.name, found.policy_text, listed, found.tools, ladder):
        found.report("policy.cedar", *mistake)
