"""The product's decision about one call: its tools, provenance, authorization request, bundle and ladder."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from activities.bundles import Bundles, load_ladder
from activities.outgoing import OutgoingRules, outgoing_of
from activities.registry import LoadedAgent, Registry
from activities.transcript import event_message, shown_output, tool_message
from contracts.agent import PinnedAgent, Stage
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes
from contracts.decision import DecisionRecord
from contracts.model import AssistantMessage, ModelChoice, ProposedCall, Provider
from contracts.tool import Effect, Label
from policy.bundle import Bundle
from policy.decide import decide
from policy.outgoing import OwnRecords
from policy.provenance import Trace, ValueIndex
from policy.recorded import scalars
from policy.request import CallFacts, authorization_request
from settings import get_settings
from tests.adversary.agentdojo.mount import arguments_of, output_of, tool_name

__all__ = ["AGENTS", "EVENT_TYPE", "LADDER", "TRUSTED", "Decided", "ProductGate", "event_data"]

AGENTS = Path(__file__).parent / "agents"
LADDER = Path(__file__).parent / "ladder.yaml"
EVENT_TYPE = "instruction.given"
TRUSTED = ("instruction",)
_NOW_S = 1_800_000_000
_RUN = "run-" + "a" * 26


def event_data(prompt: str) -> JsonObject:
    """The user's words as the event that starts a run: the one field that its endpoint declares trusted."""
    return {"instruction": prompt}


@cache
def _office() -> tuple[Registry, Bundles]:
    registry = Registry.scan(AGENTS, load_ladder(LADDER))
    if registry.broken:
        raise RuntimeError(str(registry.broken))
    return registry, Bundles(registry, LADDER)


@cache
def _pinned(name: str) -> PinnedAgent:
    choice = ModelChoice(name="mid", provider=Provider.SCRIPTED, model="scripted")
    return _office()[0].pin(name, {"plan": choice}, {})


@dataclass(frozen=True)
class Decided:
    """What was decided, on what."""

    record: DecisionRecord
    traces: dict[str, Trace]
    arguments: JsonObject

    @property
    def persons(self) -> int:
        """How many must agree; 0 when nobody is asked."""
        asked = self.record.decision
        return asked.requirement.persons if asked.kind == "needs_approval" else 0


@dataclass
class ProductGate:
    """One run of one agent: every fact that policy sees is kept as the store keeps it."""

    name: str
    prompt: str
    index: ValueIndex = field(default_factory=ValueIndex)
    records: OwnRecords = field(default_factory=OwnRecords)
    completed: Counter[str] = field(default_factory=Counter[str])
    deeds: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    tainted: bool = False
    seen: list[str] = field(default_factory=list[str])
    """Every value that tools have answered, as text."""

    def __post_init__(self) -> None:
        message = event_message({"id": "1", "type": EVENT_TYPE, "data": event_data(self.prompt)})
        self.index.read([message.model_dump(mode="json")], TRUSTED, self._labels())

    @property
    def agent(self) -> LoadedAgent:
        """The mounted agent."""
        return _office()[0].agent(self.name)

    def decide(self, function: str, args: dict[str, Any]) -> Decided:
        """Decide a call that the model proposes."""
        tool = self.agent.tools[tool_name(self.name, function)]
        typed = tool.args_model.model_validate(arguments_of(self.name, function, args))
        arguments: JsonObject = typed.model_dump(mode="json")
        traces = self.index.trace(arguments, tool.free_text)
        facts = CallFacts(
            tenant="acme",
            run_id=_RUN,
            on_behalf_of=None,
            stage=Stage.LIMITED_AUTONOMY,
            enabled=True,
            tier_ceiling=4,
            halted=False,
            admitted=dict(self.completed),
            completed=dict(self.completed),
            money_minor={},
            tool_calls=self.completed.total(),
            tainted=self.tainted,
            mandate=self.index.mandate(tool, arguments),
            outgoing=outgoing_of(_output_rules(), self.agent.file.output_rules, tool, arguments, self.records),
            repeated=(tool.name, tool.natural_key(typed)) in self.deeds,
            opened_s=_NOW_S,
            now_s=_NOW_S,
        )
        request = authorization_request(facts, _pinned(self.name), tool, arguments, traces)
        return Decided(decide(_bundle(), request), traces, arguments)

    def done(self, function: str, arguments: JsonObject, result: object, error: str) -> None:
        """Record that a call ran, and what it answered."""
        tool = self.agent.tools[tool_name(self.name, function)]
        call = ProposedCall(call_id="c", tool=tool.name, arguments_json=_json(arguments))
        told = (
            tool_message("c", tool.name, error=error)
            if error
            else tool_message("c", tool.name, output=shown_output(_output(tool.output_model, result)))
        )
        messages = [AssistantMessage(text="", calls=(call,)), told]
        read = [message.model_dump(mode="json") for message in messages]
        self.index.read(read, TRUSTED, self._labels())
        self.records.read(read, self._labels())
        if error:
            return
        self.seen += [str(part) for _, part in scalars(_output(tool.output_model, result))]
        self.completed[tool.name] += 1
        if tool.effect is Effect.WRITE:
            self.deeds.add((tool.name, tool.natural_key(tool.args_model.model_validate(arguments))))
        self.tainted |= Label.UNTRUSTED in tool.labels.values()

    def _labels(self) -> dict[str, dict[str, Label]]:
        return {name: dict(tool.labels) for name, tool in self.agent.tools.items()}


def _json(arguments: JsonObject) -> str:
    return canonical_bytes(arguments).decode()


def _output(model: type[BaseModel], result: object) -> JsonObject:
    """As the worker records it: through the tool's output model."""
    return model.model_validate(output_of(result)).model_dump(mode="json")


@cache
def _output_rules() -> OutgoingRules:
    return OutgoingRules(get_settings().output_rules_file)


@cache
def _bundle() -> Bundle:
    return _office()[1].current()
