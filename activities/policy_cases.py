"""Cases beside an agent's policy: read from its folder and decided as the gate would decide them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from pydantic import JsonValue, ValidationError

from activities.agent_yaml import Lines, YamlMistake, read_yaml
from activities.registry import LoadedAgent, Registry
from contracts.agent import PinnedAgent
from contracts.base import JsonObject, Record
from contracts.decision import AuthorizationRequest, DecisionRecord
from contracts.model import ModelChoice, Provider
from contracts.tool import Tool
from contracts.undo import undo_identity_of
from policy.bundle import Bundle
from policy.case import CaseFacts, PolicyCase, PolicyCases
from policy.decide import decide
from policy.provenance import Mandate, Origin, assumed
from policy.request import CallFacts, UserFacts, authorization_request

__all__ = [
    "CASES_FILE",
    "NO_MODEL",
    "CaseResult",
    "CasesFile",
    "CasesMistake",
    "case_request",
    "read_cases",
    "run_cases",
]

CASES_FILE = "policy_tests.yaml"
MAX_BYTES = 1_000_000
_NOW_S = 1_800_000_000
_RUN = "run-" + "a" * 26
NO_MODEL = ModelChoice(name="none", provider=Provider.SCRIPTED, model="none")
"""Stands where a definition must name one and nobody calls it."""


class CasesMistake(ValueError):  # noqa: N818 - it is one, not a fault of the program
    """The file cannot be used; says where and why."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class CasesFile(Record):
    """Cases with their places."""

    cases: PolicyCases
    lines: tuple[int, ...]
    """Of each case."""


class CaseResult(Record):
    """A case and what was decided."""

    agent: str
    file: str
    line: int
    case: str
    call: str
    expected: str
    found: str
    """`allow`, `deny` or the rung to ask."""
    missing: tuple[str, ...]
    """Policies that should have decided and did not."""
    policies: tuple[str, ...]
    """Policies that decided."""
    fault: str = ""
    """Why the case cannot be decided at all."""

    @property
    def passed(self) -> bool:
        """Whether it was decided as it should be."""
        return not self.fault and self.found == self.expected and not self.missing


def read_cases(folder: Path) -> CasesFile | None:
    """The cases of an agent's folder; None where it has none.

    Raises:
        CasesMistake: the file is not usable.
    """
    file = folder / CASES_FILE
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CasesMistake(f"larger than {MAX_BYTES} bytes", 1)
        value, lines = read_yaml(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except YamlMistake as mistake:
        raise CasesMistake(f"not YAML: {mistake}", mistake.line) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CasesMistake(f"cannot be read: {error}", 1) from None
    try:
        cases = PolicyCases.model_validate(value)
    except ValidationError as error:
        detail = error.errors()[0]
        place = tuple(part for part in detail["loc"] if part != "[key]")
        words = f"`{'.'.join(map(str, place)) or 'the file'}`: {detail['msg'][0].lower()}{detail['msg'][1:]}"
        raise CasesMistake(words, lines.line(*place)) from None
    _check_names(cases, lines)
    return CasesFile(cases=cases, lines=tuple(lines.line("cases", number) for number in range(len(cases.cases))))


def _check_names(cases: PolicyCases, lines: Lines) -> None:
    seen: set[str] = set()
    for number, case in enumerate(cases.cases):
        if case.name in seen:
            raise CasesMistake(f"two cases are named `{case.name}`", lines.line("cases", number))
        seen.add(case.name)


def run_cases(registry: Registry, name: str, bundle: Bundle, cases: CasesFile | None = None) -> Iterator[CaseResult]:
    """Decide every case of an agent under a bundle: these cases, or those of its folder; none where it has none.

    Raises:
        AgentRefused: no such agent, or its folder has errors.
        CasesMistake: the file is not usable.
    """
    agent = registry.agent(name)
    found = cases or read_cases(agent.folder)
    if found is None:
        return
    pinned = registry.pin(name, dict.fromkeys(agent.file.models, NO_MODEL), {})
    file = f"{agent.folder.parent.name}/{name}/{CASES_FILE}"
    for case, line in zip(found.cases.cases, found.lines, strict=True):
        yield _run(bundle, agent, pinned, found.cases, case, file, line)


def _run(
    bundle: Bundle, agent: LoadedAgent, pinned: PinnedAgent, cases: PolicyCases, case: PolicyCase, file: str, line: int
) -> CaseResult:
    result = CaseResult(
        agent=agent.name, file=file, line=line, case=case.name, call=case.call, expected=case.expect, found="",
        missing=(), policies=(),
    )  # fmt: skip
    known = ("allow", "deny", *(rung.id for rung in bundle.ladder.rungs))
    if case.expect not in known:
        return result.model_copy(update={"fault": f"no rung `{case.expect}` to expect: there is {', '.join(known)}"})
    rung = bundle.ladder.rung(case.granted)
    if case.granted and rung is None:
        return result.model_copy(update={"fault": f"no rung `{case.granted}` to be held"})
    found = _request(bundle, agent, pinned, cases, case)
    if isinstance(found, str):
        return result.model_copy(update={"fault": found})
    record = decide(
        bundle, found, granted=bundle.ladder.implied_by(rung) if rung else (), approvers=rung.persons if rung else 0,
        kind=case.grant_kind,
    )  # fmt: skip
    policies = tuple(reason.policy for reason in record.decision.reasons)
    missing = tuple(policy for policy in case.policies if policy not in policies)
    fault = "; ".join(record.decision.errors) if record.decision.kind == "deny" else ""
    return result.model_copy(
        update={"found": _in_a_word(record), "policies": policies, "missing": missing, "fault": fault}
    )


def _in_a_word(record: DecisionRecord) -> str:
    decision = record.decision
    return decision.requirement.id if decision.kind == "needs_approval" else decision.kind


def _request(
    bundle: Bundle, agent: LoadedAgent, pinned: PinnedAgent, cases: PolicyCases, case: PolicyCase
) -> AuthorizationRequest | str:
    """The request of a case, or why there is none."""
    tool = agent.tools.get(case.call)
    if tool is None:
        return f"no tool `{case.call}` in this folder"
    try:
        facts = CaseFacts.model_validate({**cases.facts.model_dump(), **case.facts})
        if case.undo:
            undoing: dict[str, object] = {
                "name": undo_identity_of(agent.name),
                "required_steps": {},
                "forbidden_after": {},
            }
            pinned = pinned.model_copy(update=undoing)
        arguments = {**cases.arguments.get(case.call, {}), **case.arguments}
        return case_request(bundle, pinned, tool, arguments, facts, case.provenance)
    except ValidationError as error:
        detail = error.errors()[0]
        return f"`{'.'.join(map(str, detail['loc']))}`: {detail['msg']}"
    except ValueError as error:
        return f"{case.call} cannot take these arguments: {error}"


def case_request(
    bundle: Bundle,
    pinned: PinnedAgent,
    tool: Tool,
    arguments: Mapping[str, JsonValue],
    facts: CaseFacts,
    provenance: Mapping[str, Origin],
) -> AuthorizationRequest:
    """What the gate would ask about a call on such a day; arguments without a provenance are trusted ones.

    Raises:
        ValueError: the tool cannot take these arguments.
    """
    typed = tool.args_model.model_validate(arguments)
    canonical = cast("JsonObject", typed.model_dump(mode="json"))
    labels = {name: provenance.get(name, Origin.TRUSTED) for name, value in canonical.items() if value is not None}
    traces = {name: assumed(label, astray=name in facts.astray) for name, label in labels.items()}
    return authorization_request(call_facts(facts), pinned, tool, canonical, traces, bundle.tiers)


def call_facts(facts: CaseFacts) -> CallFacts:
    """The facts of a case as the store would say them."""
    done = dict(Counter(facts.completed))
    user = facts.user
    return CallFacts(
        tenant=facts.tenant,
        run_id=_RUN,
        on_behalf_of=user.name if user else None,
        stage=facts.stage,
        enabled=facts.enabled,
        tier_ceiling=facts.tier_ceiling,
        halted=facts.halted,
        admitted=done,
        completed=done,
        money_minor=facts.money_minor,
        tool_calls=len(facts.completed),
        tainted=facts.tainted,
        repeated=facts.repeated,
        mandate=Mandate(requested=facts.requested, requested_all=facts.requested_all, spent=facts.spent),
        opened_s=_NOW_S - facts.age_s,
        now_s=_NOW_S,
        user=UserFacts(enabled=user.enabled, groups=user.groups, roles=user.roles) if user else UserFacts(),
        calls_today=facts.calls_today,
        money_today_minor=facts.money_today_minor,
    )
