"""Every agent that can run here: found by scanning folders. A new agent is a new folder; no list is edited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from activities.agent_folder import AgentFolder, read_agent_folder
from activities.agent_tools import AGENTS_FOLDER, schema_digest
from activities.finding import Finding
from activities.models.schemas import FINISH_TOOL, tool_schema
from contracts.agent import AgentFile, ApprovalTimes, PinnedAgent, PinnedTool, RunLimits, Success
from contracts.canonical import digest_bytes
from contracts.check import CheckFunction, PinnedCheck
from contracts.model import ModelChoice
from contracts.postcondition import Postcondition
from contracts.tool import Tool
from contracts.undo import UNDO_SUFFIX, undo_identity_of
from policy.cedar_text import CedarPolicy, cedar_policies
from policy.ladder import Ladder

__all__ = ["AGENTS_FOLDER", "AgentRefused", "LoadedAgent", "Registry", "read_agents"]

AGENTS_MAX = 500
UNDO_PROMPT = "No model works here: each step was computed from the ledger of the run that is undone."


class AgentRefused(Exception):  # noqa: N818 - said of the agent: its runs are refused
    """No run of this agent can start; says why and what to do."""

    def __init__(self, agent: str, message: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.agent = agent
        self.findings = findings


@dataclass(frozen=True)
class LoadedAgent:
    """An agent whose folder has no error."""

    folder: Path
    file: AgentFile
    prompt: str
    policy_text: str
    tools: Mapping[str, Tool]
    """Every tool of the folder by name, listed or not."""
    postcondition: Postcondition | None
    """None: nothing is asked at the end."""
    pinned_checks: Mapping[str, PinnedCheck] = field(default_factory=dict[str, PinnedCheck])
    """Checks by name."""
    checks: Mapping[str, CheckFunction] = field(default_factory=dict[str, CheckFunction])
    """Functions of checks by name."""

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.file.name

    def undo_identity(self) -> "LoadedAgent":
        """The principal under which what this agent did is undone: no model, and the compensating tools alone."""
        tools = tuple(sorted({tool.compensation for tool in self.tools.values() if tool.compensation}))
        file = self.file.model_copy(
            update={
                "name": undo_identity_of(self.name),
                "models": {},
                "tools": tools,
                "required_steps": {},
                "forbidden_after": {},
                "success": Success(postcondition="none"),
            }
        )
        return replace(self, file=file, prompt=UNDO_PROMPT, policy_text="", postcondition=None)

    def listed(self) -> tuple[Tool, ...]:
        """The tools that it may call, in the order of its file."""
        return tuple(self.tools[name] for name in self.file.tools)


@dataclass(frozen=True)
class Registry:
    """The agents of one root folder, as they were when it was scanned."""

    root: Path
    agents: Mapping[str, LoadedAgent]
    """Agents that can run, by name."""
    broken: Mapping[str, tuple[Finding, ...]]
    """Errors of the agents that cannot, by folder. One that is broken keeps no other from running."""

    @classmethod
    def scan(cls, root: Path, ladder: Ladder) -> "Registry":
        """Read every agent's folder under a root. `ladder` holds the requirements that policies may name."""
        agents: dict[str, LoadedAgent] = {}
        broken: dict[str, tuple[Finding, ...]] = {}
        for found in read_agents(root, ladder):
            if found.errors or found.file is None:
                broken[found.name] = tuple(found.errors)
            else:
                agents[found.name] = LoadedAgent(
                    folder=found.folder,
                    file=found.file,
                    prompt=found.prompt,
                    policy_text=found.policy_text,
                    tools=dict(found.tools),
                    postcondition=found.postcondition,
                    pinned_checks=dict(found.checks),
                    checks=dict(found.check_functions),
                )
        return cls(root, agents, broken)

    def agent(self, name: str) -> LoadedAgent:
        """The agent of that name.

        Raises:
            AgentRefused: there is none, or its folder has errors.
        """
        if name in self.agents:
            return self.agents[name]
        if name in self.broken:
            findings = self.broken[name]
            more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
            words = f"agent {name} cannot run: {next(iter(findings)).in_words()}{more}"
            raise AgentRefused(name, f"{words} `countersign agent check {name}` says it all.", findings)
        known = ", ".join(sorted(self.agents)) or "none"
        raise AgentRefused(name, f"no agent {name}. Agents here: {known}. `countersign agent new {name}` makes one.")

    def live(self, name: str) -> LoadedAgent | None:
        """Whoever may act under that name now: an agent, or the undo identity of one."""
        found = self.agents.get(name)
        if found is None and name.endswith(UNDO_SUFFIX):
            undone = self.agents.get(name.removesuffix(UNDO_SUFFIX))
            return undone.undo_identity() if undone else None
        return found

    def tools(self) -> dict[str, Tool]:
        """Every tool of every agent that can run, by name: what the policy schema is generated from."""
        return {name: tool for agent in self.agents.values() for name, tool in agent.tools.items()}

    def policy_files(self) -> dict[str, str]:
        """Cedar text of every agent that can run, by file name."""
        return {f"{self.root.name}/{name}/policy.cedar": agent.policy_text for name, agent in self.agents.items()}

    def pin(self, name: str, models: Mapping[str, ModelChoice], vote_keys: Mapping[str, str]) -> PinnedAgent:
        """The definition that a run records and keeps.

        Args:
            name: the agent.
            models: the model of every role that its file names.
            vote_keys: public keys of the approvals service, by key id.

        Raises:
            AgentRefused: no such agent, errors in its folder, or a role without a model.
        """
        return self.pin_loaded(self.agent(name), models, vote_keys)

    @staticmethod
    def pin_loaded(agent: LoadedAgent, models: Mapping[str, ModelChoice], vote_keys: Mapping[str, str]) -> PinnedAgent:
        """As `pin`, of an agent that is at hand."""
        file = agent.file
        name = agent.name
        if missing := sorted(set(file.models) - set(models)):
            raise AgentRefused(name, f"agent {name} has no model for {', '.join(missing)}. Name one of the model map.")
        schemas = (*(tool_schema(tool) for tool in agent.listed()), FINISH_TOOL)
        return PinnedAgent(
            name=file.name,
            version=file.version,
            owner=file.owner,
            prompt=agent.prompt,
            prompt_digest=digest_bytes(agent.prompt.encode()),
            models={role: models[role] for role in file.models},
            limits=RunLimits.from_file(file.limits),
            tools=tuple(_pinned(tool, file) for tool in agent.listed()),
            tool_schemas=tuple(schema.model_dump(mode="json") for schema in schemas),
            required_steps=dict(file.required_steps),
            forbidden_after=dict(file.forbidden_after),
            on_denied={str(tool): reaction for tool, reaction in file.on_denied.items()},
            checks={
                check: pinned
                for check, pinned in agent.pinned_checks.items()
                if pinned.kind == "function" or pinned.role in file.models
            },
            postcondition=file.success.postcondition,
            fallback=file.fallback,
            vote_keys=dict(vote_keys),
        )


def read_agents(root: Path, ladder: Ladder) -> list[AgentFolder]:
    """Every agent's folder under a root as read, by name, with its findings, those that concern its neighbours too."""
    read: list[AgentFolder] = []
    for folder in _agent_folders(root):
        found = read_agent_folder(folder, ladder)
        _check_neighbours(found, [other for other in read if not other.errors])
        read.append(found)
    return read


def _agent_folders(root: Path) -> list[Path]:
    """A folder that holds nothing but caches is none.

    Raises:
        AgentRefused: more than a registry holds.
    """
    if not root.is_dir():
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] not in "._" and _lives(path))
    if len(folders) > AGENTS_MAX:
        raise AgentRefused("", f"{root} holds more than {AGENTS_MAX} agents. Split it.")
    return folders


def _lives(folder: Path) -> bool:
    return any(not path.name.startswith((".", "__pycache__")) for path in folder.iterdir())


def _pinned(tool: Tool, file: AgentFile) -> PinnedTool:
    return PinnedTool(
        name=tool.name,
        version=tool.version,
        tier=tool.tier,
        effect=tool.effect,
        timeout_s=tool.timeout_s,
        attempts=tool.attempts,
        isolated=tool.isolated,
        schema_digest=schema_digest(tool),
        source_digest=tool.source,
        approval=file.approvals.get(tool.name, ApprovalTimes()),
    )


def _check_neighbours(found: AgentFolder, others: Sequence[AgentFolder]) -> None:
    """One name, one tool: policies, natural keys and the ledger know a tool by its name alone. One id, one policy.

    Sharing is fine where one folder imports the tool from the other: then the source is the same.
    """
    for tool in found.tools.values():
        for other in others:
            theirs = other.tools.get(tool.name)
            if theirs is not None and theirs.source != tool.source:
                message = f"is another tool of agent `{other.name}` too"
                found.report_tool(tool, "tool-shared-name", message, "Rename it, or import that one in its place.")
    mine = _policy_lines(found.policy_text)
    for other in others:
        for policy in mine.keys() & _policy_lines(other.policy_text).keys():
            message = f"the id `{policy}` is that of a policy of agent `{other.name}` too"
            found.report("policy.cedar", mine[policy], "policy-id-double", message, "Give it another id.")


def _policy_lines(text: str) -> dict[str, int]:
    return {part.id: part.line for part in cedar_policies(text) if isinstance(part, CedarPolicy) and part.id}
