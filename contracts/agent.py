"""What an agent is: its folder's `agent.yaml`, and the definition that a run pins at its start."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from contracts.base import AgentName, Digest, JsonObject, Micros, Record, ToolName, is_empty, is_none
from contracts.check import CheckFile, CheckName, PinnedCheck
from contracts.model import ModelChoice
from contracts.outgoing import OutputRule
from contracts.tool import Effect, Tier

__all__ = [
    "ANY_TOOL",
    "UNTRUSTED_CONTENT",
    "AgentFile",
    "ApprovalTimes",
    "LimitsFile",
    "LoopLimits",
    "OnDenied",
    "OnExceeded",
    "PinnedAgent",
    "PinnedTool",
    "RunLimits",
    "Stage",
]

SHORT_READ_S = 5.0
"""Reads of at most this timeout need no events of their own: nothing is lost when they are made again after a crash."""

Usd = Annotated[str, StringConstraints(pattern=r"^\d{1,6}(\.\d{1,6})?$")]
ModelRole = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


ANY_TOOL: Final = "any"
"""In `on_denied`: every tool that is not named."""
UNTRUSTED_CONTENT: Final = "untrusted_content"
"""In `forbidden_after`: the run has read content that outsiders may have written."""


class Stage(StrEnum):
    """Autonomy level of an agent in a tenant, lowest first."""

    OFF = "off"
    SHADOW = "shadow"
    READ_ONLY = "read_only"
    DRAFTS = "drafts"
    GATED_WRITES = "gated_writes"
    LIMITED_AUTONOMY = "limited_autonomy"


class OnExceeded(StrEnum):
    """What happens to a run that meets a limit."""

    ESCALATE = "escalate"
    """Hand over to a person, with a packet."""
    ASK = "ask"
    """Ask people for a raise of half the limit, and go on when they grant it; else hand over."""
    DRAFT_ONLY = "draft_only"
    """Keep the last fifth of each limit for drafts: from then on writes above tier 1 are refused. Then hand over."""
    STOP = "stop"
    """End as failed_safe."""


class LoopLimits(Record):
    """When a run goes in circles. Each counts steps; the first time the model is told, the second time the run ends."""

    identical: int = Field(default=4, ge=2, le=1_000)
    """Steps that made the same call and got the same result."""
    alternating: int = Field(default=3, ge=2, le=1_000)
    """Pairs of steps that take turns, with the same results."""
    errors: int = Field(default=5, ge=2, le=1_000)
    """Steps in a row in which no call succeeded."""
    no_news: int = Field(default=6, ge=2, le=1_000)
    """Steps in a row whose calls succeeded and told only what was known."""
    no_progress: int = Field(default=10, ge=2, le=1_000)
    """Steps in a row that neither wrote anything nor learnt anything, for whatever reason."""
    warn: bool = True
    """Tell the model once before the run ends."""


class OnDenied(StrEnum):
    """What happens when policy denies a call. It never runs; this is about the run."""

    TELL = "tell"
    """The model is told why, and goes on."""
    ESCALATE = "escalate"
    """A person goes on, with a packet."""
    STOP = "stop"
    """The run ends as failed_safe."""
    ALERT = "alert"
    """A person goes on, and an alarm is raised at once."""


class LimitsFile(Record):
    """Limits as an author writes them; everything has an upper bound even when nothing is written."""

    tokens: int = Field(default=24_000, ge=100, le=10_000_000)
    """Input and output tokens of all model calls of the run."""
    usd: Usd = "0.50"
    """Model cost in US dollars, as a decimal string."""
    steps: int = Field(default=40, ge=1, le=10_000)
    """Turns of the loop."""
    tool_calls: int = Field(default=20, ge=1, le=10_000)
    """Tool calls that were admitted."""
    retries: int = Field(default=60, ge=0, le=100_000)
    """Further attempts at model calls that may have been charged, and at tool calls."""
    context_tokens: int = Field(default=200_000, ge=100, le=10_000_000)
    """Input tokens of one model call, estimated from above."""
    loops: LoopLimits = LoopLimits()
    malformed: int = Field(default=3, ge=0, le=10)
    """Malformed model answers in a row before the run escalates."""
    active_s: int = Field(default=900, ge=1, le=86_400)
    """Wall time without the waiting for people, in seconds."""
    age_s: int = Field(default=172_800, ge=1, le=7_776_000)
    """Wall time in all, in seconds."""
    on_exceeded: OnExceeded = OnExceeded.ESCALATE


class ApprovalTimes(Record):
    """How long an approval may take. Who and how many comes from policy."""

    sla_s: int = Field(default=3_600, ge=1, le=2_592_000)
    """When a reminder is due, in seconds after the request."""
    expires_s: int = Field(default=86_400, ge=1, le=2_592_000)
    """When the request ends unanswered, in seconds after the request."""


class Success(Record):
    """What must hold at the end."""

    postcondition: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    """Name of a function in the agent's `tools.py` (see `contracts/postcondition.py`), or `none`."""


class AgentFile(Record):
    """`agents/<name>/agent.yaml`."""

    name: AgentName
    """The folder's name."""
    version: int = Field(default=1, ge=1)
    """Raised with every release."""
    owner: str = Field(min_length=1, max_length=120)
    """Group or person that answers for it: neither they nor the group's members decide its calls."""
    runbook: str = Field(default="README.md", max_length=120)
    """File in the folder that says what to do when it misbehaves."""
    models: dict[ModelRole, str] = Field(min_length=1)
    """Role to a name of the model map; `plan` is the one that the loop calls."""
    limits: LimitsFile = LimitsFile()
    tools: tuple[ToolName, ...] = Field(min_length=1, max_length=64)
    """The only tools that it can call."""
    required_steps: dict[ToolName, tuple[ToolName, ...]] = Field(default_factory=dict)
    """Tools that must have completed in the run before the key may be called."""
    forbidden_after: dict[ToolName, tuple[ToolName | Literal["untrusted_content"], ...]] = Field(default_factory=dict)
    """Tools after whose completion in the run the key may not be called any more; `untrusted_content`: after the run
    has read content that outsiders may have written."""
    approvals: dict[ToolName, ApprovalTimes] = Field(default_factory=dict)
    """Times per tool, where the default does not fit."""
    output_rules: tuple[OutputRule, ...] = Field(default=(), max_length=50)
    """What may not leave with its calls, asked before the organisation's rules that are not final."""
    on_denied: dict[ToolName | Literal["any"], OnDenied] = Field(default_factory=dict, max_length=65)
    """What a denial of a tool means for the run; `any`: of every tool that is not named. Else the model is told."""
    checks: dict[CheckName, CheckFile] = Field(default_factory=dict, max_length=10)
    """Checks that policies may ask for before a call."""
    success: Success = Success(postcondition="none")
    fallback: Literal["hand_over", "wait"] = "hand_over"
    """What happens when no model can be had."""


class RunLimits(Record):
    """Limits as pinned: integers in base units. Ceilings: a run never gets more, a fresh policy may give less."""

    tokens: int
    micros: Micros
    """Model cost in micro-dollars."""
    steps: int
    tool_calls: int
    malformed: int
    active_s: int
    age_s: int
    on_exceeded: OnExceeded
    retries: int | None = Field(default=None, exclude_if=is_none)
    """None, and so for those below: pinned before there was such a limit."""
    context_tokens: int | None = Field(default=None, exclude_if=is_none)
    loops: LoopLimits | None = Field(default=None, exclude_if=is_none)

    @classmethod
    def from_file(cls, limits: LimitsFile) -> "RunLimits":
        """Limits of a file in base units."""
        values = limits.model_dump(exclude={"usd"})
        return cls.model_validate({"micros": int(Decimal(limits.usd) * 1_000_000), **values})


class PinnedTool(Record):
    """A tool as pinned: what the loop needs to schedule it, and the digests that prove which one ran."""

    name: ToolName
    version: int
    tier: Tier
    effect: Effect
    timeout_s: float
    """Upper bound of one attempt in seconds."""
    attempts: int
    """Attempts within one call."""
    isolated: bool
    schema_digest: Digest
    """Digest of the arguments' and the output's JSON Schema."""
    source_digest: Digest
    """Digest of the module that implements it."""
    approval: ApprovalTimes
    """How long an approval of it may take."""

    @property
    def is_short_read(self) -> bool:
        """Whether a call of it is harmless to repeat and needs no events of its own."""
        return self.effect is Effect.READ and self.timeout_s <= SHORT_READ_S and not self.isolated

    @property
    def longest_s(self) -> float:
        """Upper bound of a whole call with all its attempts, in seconds."""
        return self.timeout_s * (self.attempts + 1)


class PinnedAgent(Record):
    """Everything of an agent that stays the same for a run, recorded whole in its history."""

    name: AgentName
    version: int
    owner: str
    prompt: str
    """The whole prompt."""
    prompt_digest: Digest
    models: dict[str, ModelChoice]
    """Model per role."""
    limits: RunLimits
    tools: tuple[PinnedTool, ...]
    """Every tool that it may call, in the order of its file."""
    tool_schemas: tuple[JsonObject, ...]
    """The tools as the model sees them."""
    required_steps: dict[ToolName, tuple[ToolName, ...]]
    forbidden_after: dict[ToolName, tuple[str, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """Tools, or `untrusted_content`, after which the key may not be called any more."""
    on_denied: dict[str, OnDenied] = Field(default_factory=dict, exclude_if=is_empty)
    """What a denial means for the run, by tool; `any` of the others."""
    checks: dict[CheckName, PinnedCheck] = Field(default_factory=dict, exclude_if=is_empty)
    """Checks that policies may ask for."""
    postcondition: str
    fallback: Literal["hand_over", "wait"]
    vote_keys: dict[str, str]
    """Public Ed25519 keys (JWK as canonical JSON) of the approvals service, by key id, as known at the start."""

    def tool(self, name: str) -> PinnedTool | None:
        """The pinned tool of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)
