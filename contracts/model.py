"""What goes to a model and what comes back, the same for every provider."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import JsonObject, Micros, Record, is_empty, is_none

__all__ = [
    "AssistantMessage",
    "EditedCall",
    "Message",
    "ModelChoice",
    "ModelReply",
    "ModelRequest",
    "Price",
    "ProposedCall",
    "Provider",
    "StopReason",
    "SystemMessage",
    "ToolMessage",
    "ToolSchema",
    "Usage",
    "UserMessage",
]


class Provider(StrEnum):
    """Which wire protocol answers."""

    OPENAI = "openai"
    """OpenAI's Responses API."""
    ANTHROPIC = "anthropic"
    """Anthropic's Messages API."""
    COMPATIBLE = "compatible"
    """Any server of OpenAI's chat completions protocol, by base URL."""
    SCRIPTED = "scripted"
    """A fixture file that answers by the content of the conversation. Labelled as scripted wherever it shows."""


class Price(Record):
    """A configured price, used before the public price list. Integers: micro-dollars per million tokens."""

    input_micros_per_mtok: Micros
    """Uncached input."""
    cached_input_micros_per_mtok: Micros
    """Input read from the provider's cache."""
    cache_write_micros_per_mtok: Micros
    """Input written to the provider's cache."""
    output_micros_per_mtok: Micros
    """Output, reasoning included."""


class ModelChoice(Record):
    """One entry of the model map, pinned for a run."""

    name: str = Field(min_length=1, max_length=63)
    """Name in the model map, such as `small`."""
    provider: Provider
    """Which provider answers."""
    model: str = Field(min_length=1, max_length=200)
    """The provider's model id, a pinned version where the provider has one."""
    max_output_tokens: int = Field(default=4096, ge=16, le=128_000)
    """Upper bound of one answer, reasoning included."""
    timeout_s: float = Field(default=120, gt=0, le=900)
    """Upper bound of one call, connection and streaming included, in seconds."""
    price: Price | None = None
    """Configured price; without one the public price list must know the model, or the call is refused."""
    base_url: str | None = Field(default=None, max_length=500)
    """Server address for `compatible`; None takes the setting."""
    fixture: str | None = Field(default=None, max_length=500)
    """Fixture file for `scripted`, relative to the agent's folder."""
    reasoning: Literal["none", "low", "medium", "high"] = "none"
    """How much the model may think, where the provider can be told."""


class ToolSchema(Record):
    """A tool as a model sees it."""

    name: str
    """Our name, such as `payments.issue_refund`; providers that forbid dots get it mapped and mapped back."""
    description: str
    """What it does, for the model."""
    parameters: JsonObject
    """Strict JSON Schema of the arguments: every property required, no additional properties."""


class ProposedCall(Record):
    """A tool call as the model wrote it, not yet parsed or trusted."""

    call_id: str = Field(max_length=200)
    """The provider's id of the call, to be answered with."""
    tool: str = Field(max_length=200)
    """Name as proposed, after mapping back; may be unknown."""
    arguments_json: str
    """Arguments exactly as received: perhaps not JSON at all."""


class SystemMessage(Record):
    """The prompt."""

    role: Literal["system"] = "system"
    text: str
    """Instructions of the pinned agent definition."""


class UserMessage(Record):
    """Input: the event, or a correction by the engine."""

    role: Literal["user"] = "user"
    text: str
    """Text for the model; event text is untrusted data."""


class AssistantMessage(Record):
    """What the model said before."""

    role: Literal["assistant"] = "assistant"
    text: str
    """Free text, possibly empty."""
    calls: tuple[ProposedCall, ...] = ()
    """Tool calls, in the order in which they were proposed."""
    opaque: tuple[JsonObject, ...] = ()
    """Provider's own items (encrypted reasoning, signed thinking) that must go back unchanged to the same provider."""


class EditedCall(Record):
    """That people changed a call before it ran: what the model is told besides its result."""

    by: str
    """Who, as people see them; the last one."""
    reason: str
    """Why, in their words."""
    arguments_json: str
    """The arguments that held instead of the proposed ones, as canonical JSON."""


class ToolMessage(Record):
    """The answer to one tool call."""

    role: Literal["tool"] = "tool"
    call_id: str
    """Id of the proposed call."""
    tool: str
    """Name of the tool."""
    text: str
    """Result as JSON text, or the reason why there is none."""
    is_error: bool = False
    """True for a failure, refusal or denial."""
    edited: EditedCall | None = Field(default=None, exclude_if=is_none)
    """Of a call that people edited."""

    @property
    def shown(self) -> str:
        """What the model reads."""
        if self.edited is None:
            return self.text
        return (
            f"A person ({self.edited.by}) changed the arguments of this call to {self.edited.arguments_json}, because: "
            f"{self.edited.reason}\nThe result is that of the changed call:\n{self.text}"
        )


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ModelRequest(Record):
    """One call of a model."""

    choice: ModelChoice
    """Which model."""
    messages: tuple[Message, ...]
    """The transcript, oldest first; the first is the prompt."""
    tools: tuple[ToolSchema, ...]
    """What the model may propose."""


class StopReason(StrEnum):
    """Why the model stopped."""

    TOOL_CALLS = "tool_calls"
    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    REFUSAL = "refusal"
    OTHER = "other"


class Usage(Record):
    """Tokens of one call. `input_tokens` includes cached and cache-written ones, `output_tokens` includes reasoning."""

    input_tokens: int = Field(default=0, ge=0)
    cached_input_tokens: int = Field(default=0, ge=0, exclude_if=is_empty)
    """Read from the provider's cache."""
    cache_write_tokens: int = Field(default=0, ge=0, exclude_if=is_empty)
    """Written to the provider's cache."""
    output_tokens: int = Field(default=0, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0, exclude_if=is_empty)
    estimated: bool = Field(default=False, exclude_if=is_empty)
    """True where the provider reported nothing and the count is ours, from above."""

    @property
    def total_tokens(self) -> int:
        """What counts against a token limit."""
        return self.input_tokens + self.output_tokens


class ModelReply(Record):
    """One answer of a model, as received."""

    text: str
    """Free text, possibly empty."""
    calls: tuple[ProposedCall, ...]
    """Proposed tool calls in order."""
    stop: StopReason
    """Why it stopped."""
    stop_detail: str = Field(default="", max_length=500)
    """The provider's own word for it, or the refusal's text."""
    usage: Usage
    """Tokens as reported by the provider."""
    served_model: str = Field(max_length=200)
    """Identity of the model that the provider says answered."""
    request_id: str = Field(default="", max_length=200)
    """The provider's id of the request, for its support."""
    opaque: tuple[JsonObject, ...] = ()
    """Provider's items to send back unchanged."""
