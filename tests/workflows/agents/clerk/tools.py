"""Tools that meet limits: reads that tell the same again, fail, or may be served again; writes that pay and send."""

from collections import Counter

from pydantic import Field

from contracts.base import Record
from contracts.tool import Ambiguous, Destination, Effect, Money, Tier, ToolContext, tool

CALLS: Counter[str] = Counter()
"""How often each function ran. Of the process."""
FAILS: Counter[str] = Counter()
"""How often each function is still to fail."""


class Named(Record):
    """What it is about."""

    name: str = Field(pattern=r"^[a-z]{1,20}$")
    """The thing."""


class Payment(Record):
    """What to pay."""

    name: str = Field(pattern=r"^[a-z]{1,20}$")
    """For what."""
    amount_minor: int = Field(ge=1, le=1_000_000)
    """How much, in cents."""


class Letter(Record):
    """What to send."""

    name: str = Field(pattern=r"^[a-z]{1,20}$")
    """What it says."""
    to: str = Field(max_length=200)
    """To whom."""


class Told(Record):
    """What there is to tell."""

    name: str


@tool(
    name="clerk.look", version=1, tier=Tier.READ_ONLY, effect=Effect.READ, owner="tests",
    resource=("Thing", lambda args: args.name),
)  # fmt: skip
async def look(args: Named, _ctx: ToolContext) -> Told:
    """Look at a thing."""
    CALLS["look"] += 1
    return Told(name=args.name)


@tool(
    name="clerk.recall", version=1, tier=Tier.READ_ONLY, effect=Effect.READ, owner="tests", cacheable_s=300,
    resource=("Thing", lambda args: args.name),
)  # fmt: skip
async def recall(args: Named, _ctx: ToolContext) -> Told:
    """Look at a thing that seldom changes."""
    CALLS["recall"] += 1
    return Told(name=args.name)


@tool(
    name="clerk.flaky", version=1, tier=Tier.READ_ONLY, effect=Effect.READ, owner="tests", attempts=1,
    resource=("Thing", lambda args: args.name),
)  # fmt: skip
async def flaky(args: Named, _ctx: ToolContext) -> Told:
    """Ask a service that may not answer."""
    CALLS["flaky"] += 1
    if FAILS["flaky"] > 0:
        FAILS["flaky"] -= 1
        raise Ambiguous("no answer", code="timeout")
    return Told(name=args.name)


@tool(
    name="clerk.pay", version=1, tier=Tier.REVERSIBLE, effect=Effect.WRITE, owner="tests", key_window_s=3_600,
    resource=("Thing", lambda args: args.name),
    compensation="clerk.draft",
    money=lambda args: Money(amount_minor=args.amount_minor, currency="EUR"),
)  # fmt: skip
async def pay(args: Payment, _ctx: ToolContext) -> Told:
    """Pay for a thing."""
    CALLS["pay"] += 1
    return Told(name=args.name)


@tool(
    name="clerk.send", version=1, tier=Tier.REVERSIBLE, effect=Effect.WRITE, owner="tests", key_window_s=3_600,
    resource=("Thing", lambda args: args.name),
    compensation="clerk.draft", rate_per_minute=30,
    destinations=lambda args: (Destination(kind="email", value=args.to),), allowed_destinations=("@example.com",),
)  # fmt: skip
async def send(args: Letter, _ctx: ToolContext) -> Told:
    """Send a letter."""
    CALLS["send"] += 1
    return Told(name=args.name)


@tool(
    name="clerk.draft", version=1, tier=Tier.LOW_IMPACT, effect=Effect.WRITE, owner="tests", key_window_s=3_600,
    resource=("Thing", lambda args: args.name),
)  # fmt: skip
async def draft(args: Named, _ctx: ToolContext) -> Told:
    """Draft a letter."""
    CALLS["draft"] += 1
    return Told(name=args.name)
