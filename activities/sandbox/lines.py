"""What the gate and an isolated tool say to each other: one JSON object a line; what is unknown is refused."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from contracts.base import JsonObject, Record

__all__ = [
    "FROM_BOX",
    "MAX_LINE_BYTES",
    "TO_BOX",
    "Answered",
    "Beat",
    "Done",
    "Failed",
    "FromBox",
    "Job",
    "Ready",
    "Request",
]

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest line; a service's answer is at most half of it."""

FaultKind = Literal["refused_before_send", "rejected", "rate_limited", "ambiguous", "tool_fault"]


class Job(Record):
    """To the box: what it is for. One job, then it ends."""

    folder: str
    """The agent's folder."""
    tool: str
    function: Literal["call", "probe", "preview"]
    arguments: JsonObject
    effect_key: str = ""
    """Of a probe."""


class Ready(Record):
    """From the box: its walls are up, or why it has none."""

    kind: Literal["ready"] = "ready"
    missing: str = ""


class Request(Record):
    """From the box: ask the service that the tool declared. The gate adds address and credential."""

    kind: Literal["request"] = "request"
    service: str = Field(max_length=200)
    method: str = Field(max_length=20)
    path: str = Field(max_length=8_000)
    json_body: JsonObject | None = None
    params: dict[str, str | int] | None = None
    arguments: JsonObject | None = None


class Beat(Record):
    """From the box: long work goes on."""

    kind: Literal["beat"] = "beat"
    note: str = Field(default="", max_length=500)


class Done(Record):
    """From the box: the function's result."""

    kind: Literal["done"] = "done"
    output: JsonObject


class Failed(Record):
    """Either way: a fault, as `contracts.tool` knows them."""

    kind: Literal["failed"] = "failed"
    fault: FaultKind
    code: str = Field(default="", max_length=200)
    message: str = Field(default="", max_length=2_000)
    settles_key: bool = True
    retry_after_s: float = Field(default=0, ge=0, le=86_400)


class Answered(Record):
    """To the box: the service's answer to its request."""

    kind: Literal["answered"] = "answered"
    status: int
    body: JsonValue = None


TO_BOX: TypeAdapter[Answered | Failed] = TypeAdapter(Annotated[Answered | Failed, Field(discriminator="kind")])
FromBox = Annotated[Ready | Request | Beat | Done | Failed, Field(discriminator="kind")]
FROM_BOX: TypeAdapter[Ready | Request | Beat | Done | Failed] = TypeAdapter(FromBox)
