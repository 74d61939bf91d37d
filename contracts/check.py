"""Checks before a call: a second model with its own instructions, or a function, whose verdict can only narrow."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.base import Digest, JsonObject, Micros, Record, RunId, TenantId, ToolName, is_empty

__all__ = [
    "CheckContent",
    "CheckControl",
    "CheckFacts",
    "CheckFile",
    "CheckFunction",
    "CheckName",
    "CheckResult",
    "CheckVerdict",
    "PinnedCheck",
    "RecordedOutput",
    "RunCheck",
]


CheckName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,40}$")]


class CheckFile(Record):
    """A check in `agent.yaml`, under its name in `checks`; policies ask for it by `context.checked.contains("…")`."""

    prompt: str = Field(default="", max_length=120, pattern=r"^([A-Za-z0-9_][A-Za-z0-9_./-]*)?$")
    """File in the folder with the instructions of the second model; empty for a function."""
    model: str = Field(default="plan", max_length=31)
    """Role of the second model among the agent's `models`."""
    function: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,62})?$")
    """Function of `tools.py` that takes `CheckFacts` and returns a `CheckVerdict`; empty for a model."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.prompt) is bool(self.function):
            msg = "a check has a prompt or a function, one of the two"
            raise ValueError(msg)
        return self


class PinnedCheck(Record):
    """A check as pinned."""

    kind: Literal["model", "function"]
    instructions: str = ""
    """The whole prompt of the second model."""
    role: str = ""
    """Its role among the pinned models."""
    function: str = ""
    """Name of the function; its module is that of the pinned tools."""


class RecordedOutput(Record):
    """What a tool answered earlier in the run."""

    tool: str
    output: JsonObject


class CheckFacts(Record):
    """What a check is asked about: recorded values, and the call."""

    tool: ToolName
    arguments: JsonObject
    """Canonical arguments of the call."""
    why: str
    """The reason that the model gave; unverified."""
    event: JsonObject
    """Data of the event that started the run."""
    outputs: tuple[RecordedOutput, ...]
    """Outputs of the run's calls so far, oldest first."""


class CheckVerdict(Record):
    """What a check says."""

    passed: bool
    reason: str = Field(min_length=1, max_length=2_000)
    """One sentence, for people and for the model."""


CheckFunction = Callable[[CheckFacts], CheckVerdict]
"""Pure: no I/O, no clock."""


class RunCheck(Record):
    """Input of the `run_check` activity."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    step: int = Field(ge=1)
    call: int = Field(ge=0)
    tool: ToolName
    arguments_digest: Digest
    revision: int = Field(default=0, ge=0, exclude_if=is_empty)
    """How often people edited the call: what a check said of other arguments counts no more."""
    check: CheckName


class CheckControl(Record):
    """What the loop may know of a verdict."""

    kind: Literal["passed", "failed", "limit_reached", "halted"]
    limit: str = ""
    """Of `limit_reached`."""


class CheckContent(Record):
    """The part that may hold personal data."""

    reason: str = ""
    """Of the verdict; of `halted`: by what."""


class CheckResult(Record):
    """Result of the `run_check` activity."""

    check: CheckName
    control: CheckControl
    content: CheckContent
    served_model: str = ""
    """Empty where no model was asked."""
    tokens: int = Field(default=0, ge=0)
    micros: Micros = 0
