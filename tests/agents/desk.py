"""A desk for tests of an agent's folder: script, policy, tools and back office are real, the engine is left out.

It shows what the folder itself promises: which calls its policy lets through, and what its tools do over HTTP. That the
engine keeps to the decisions is shown where whole runs are tested.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from joserfc.jwk import OKPKey

from activities.agent_tools import AGENTS_FOLDER
from activities.bundles import BASE_POLICY, load_ladder
from activities.credentials import CallIdentity, CredentialIssuer, OwnIssuer
from activities.models.schemas import tool_schema
from activities.models.scripted import ScriptedProvider
from activities.proposal import read_proposal, stored_answer
from activities.registry import LoadedAgent, Registry
from activities.services import CallContext, Services
from activities.transcript import event_message, tool_message
from contracts.agent import PinnedAgent, Stage
from contracts.base import JsonObject
from contracts.decision import Allowed, Decision, NeedsApproval
from contracts.model import Message, ModelChoice, ModelRequest, Provider, SystemMessage, ToolMessage
from contracts.tool import Effect, ToolFault
from contracts.turn import Calls, Finish
from policy.bundle import Bundle, build_bundle
from policy.decide import decide
from policy.request import CallFacts, authorization_request
from policy.schema import cedar_schema
from settings import get_settings
from settings.signing_keys import SigningKeys
from tests.policy.tracing import trace_arguments

STEPS_MAX = 12
RUN = "run-" + "a" * 26
CHOICE = ModelChoice(name="mid", provider=Provider.SCRIPTED, model="scripted")


@dataclass(frozen=True)
class Visit:
    """A call and what was decided about it."""

    tool: str
    arguments: JsonObject
    decision: Decision
    answer: ToolMessage


@dataclass(frozen=True)
class Day:
    """What happened with one ticket."""

    visits: tuple[Visit, ...]
    finish: Finish | None
    needed: str

    def decisions(self) -> list[tuple[str, str]]:
        """Tool and kind of decision of each call, with the rung that it needs."""
        return [(visit.tool, _in_words(visit.decision)) for visit in self.visits]

    def policies(self, tool: str) -> set[str]:
        """Policies that determined the last decision about a tool."""
        last = [visit for visit in self.visits if visit.tool == tool][-1]
        return {reason.policy for reason in last.decision.reasons}


def loaded(name: str, root: Path = AGENTS_FOLDER) -> tuple[LoadedAgent, PinnedAgent, Bundle]:
    """An agent, its definition, and the bundle of base policy and its own."""
    ladder = load_ladder(get_settings().ladder_file)
    registry = Registry.scan(root, ladder)
    agent = registry.agent(name)
    pinned = registry.pin(name, dict.fromkeys(agent.file.models, CHOICE), {})
    files = {"base.cedar": BASE_POLICY.read_text("utf-8"), "policy.cedar": agent.policy_text}
    return agent, pinned, build_bundle(files, cedar_schema(agent.tools.values()), ladder)


def write_keys(folder: Path) -> tuple[CredentialIssuer, Path]:
    """A fresh issuer, and the key set that a service verifies it by."""
    key = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"})
    private = folder / "credential.jwk"
    private.write_text(json.dumps(key.as_dict(private=True)), "utf-8")
    public = {**key.as_dict(private=False), "kid": key.thumbprint()}
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [public]}), "utf-8")
    keys = SigningKeys(f"file:{private}", folder, purpose="credential")
    return OwnIssuer(keys), jwks


@dataclass
class Desk:
    """Works on one ticket as a run would."""

    agent: LoadedAgent
    pinned: PinnedAgent
    bundle: Bundle
    services: Services
    issuer: CredentialIssuer
    tenant: str = "acme"
    granted: tuple[str, ...] = ()
    """Rungs that approvers would grant; a call that needs another is answered as denied."""
    messages: list[Message] = field(default_factory=list[Message])
    completed: Counter[str] = field(default_factory=Counter[str])
    money_minor: Counter[str] = field(default_factory=Counter[str])

    async def work(self, ticket_id: str) -> Day:
        """Until the model finishes."""
        event: JsonObject = {"type": "ticket.created", "data": {"ticket_id": ticket_id}}
        self.messages = [SystemMessage(text=self.pinned.prompt), event_message(event)]
        provider = ScriptedProvider(self.agent.folder / "script.yaml")
        visits: list[Visit] = []
        for step in range(1, STEPS_MAX + 1):
            request = ModelRequest(
                choice=CHOICE, messages=tuple(self.messages), tools=tuple(map(tool_schema, self.agent.listed()))
            )
            reply = await provider.complete(request, _no_beat)
            proposal = read_proposal(reply, {tool.name: tool for tool in self.agent.listed()})
            self.messages.append(stored_answer(reply))
            if isinstance(proposal.control, Finish):
                return Day(tuple(visits), proposal.control, proposal.content.needed)
            assert isinstance(proposal.control, Calls), proposal.content.corrections
            for position, (control, content) in enumerate(
                zip(proposal.control.calls, proposal.content.calls, strict=True)
            ):
                visit = await self.visit(control.tool, content.arguments, content.call_id, f"{RUN}/{step}/{position}")
                visits.append(visit)
                self.messages.append(visit.answer)
        return Day(tuple(visits), None, "")

    async def visit(self, name: str, arguments: JsonObject, call_id: str, key: str) -> Visit:
        """Decide a call, and run it where it may."""
        decision = self.decide(name, arguments)
        held = isinstance(decision, NeedsApproval) and decision.requirement.id in self.granted
        if not held and not isinstance(decision, Allowed):
            words = "; ".join(reason.text for reason in decision.reasons)
            return Visit(name, arguments, decision, tool_message(call_id, name, error=f"denied: {words}"))
        tool = self.agent.tools[name]
        writes = tool.effect is Effect.WRITE
        context = self.context(name, arguments, key if writes else None, may_write=writes)
        typed = tool.args_model.model_validate(arguments)
        try:
            output = (await tool.function(typed, context)).model_dump(mode="json")
        except ToolFault as fault:
            return Visit(name, arguments, decision, tool_message(call_id, name, error=str(fault)))
        self.completed[name] += 1
        if money := tool.money(typed):
            self.money_minor[money.currency] += money.amount_minor
        return Visit(name, arguments, decision, tool_message(call_id, name, output=output))

    def decide(self, name: str, arguments: JsonObject, *, repeated: bool = False) -> Decision:
        """What policy says about a call now."""
        tool = self.agent.tools[name]
        facts = CallFacts(
            tenant=self.tenant,
            run_id=RUN,
            on_behalf_of=None,
            stage=Stage.LIMITED_AUTONOMY,
            enabled=True,
            tier_ceiling=3,
            halted=False,
            admitted=dict(self.completed),
            completed=dict(self.completed),
            money_minor=dict(self.money_minor),
            tool_calls=self.completed.total(),
            tainted=True,
            repeated=repeated,
            opened_s=1_000,
            now_s=1_010,
        )
        told = [message.model_dump(mode="json") for message in self.messages if message.role in {"user", "tool"}]
        labels = {tool.name: tool.labels for tool in self.agent.tools.values()}
        traces = trace_arguments(arguments, told, ["ticket_id"], labels)
        request = authorization_request(facts, self.pinned, tool, arguments, traces)
        return decide(self.bundle, request).decision

    def context(self, name: str, arguments: JsonObject, effect_key: str | None, *, may_write: bool) -> CallContext:
        """What the tool is given."""
        tool = self.agent.tools[name]
        identity = CallIdentity(
            tenant=self.tenant,
            run_id=RUN,
            agent=self.agent.name,
            on_behalf_of=None,
            tool=name,
            service=tool.service,
            scopes=tool.scopes,
            effect_key=effect_key,
        )
        return CallContext(
            self.services, self.issuer, identity, arguments, timeout_s=10, may_write=may_write, beat=lambda _note: None
        )

    def answers(self, tool: str) -> list[JsonObject]:
        """What a tool returned so far."""
        texts = [message.text for message in self.messages if isinstance(message, ToolMessage) and message.tool == tool]
        return [cast("JsonObject", json.loads(text)) for text in texts]


def _in_words(decision: Decision) -> str:
    return decision.requirement.id if isinstance(decision, NeedsApproval) else decision.kind


def _no_beat(_note: str) -> None:
    return
