"""Tools that note when they run: two slow reads can only end when both have begun."""

import asyncio

from pydantic import Field

from contracts.base import Record
from contracts.tool import Effect, Tier, ToolContext, tool

NOTES: list[str] = []
"""What ran, in order. Of the process."""
meeting: list[asyncio.Event] = []


class Mark(Record):
    """What to note."""

    name: str = Field(pattern=r"^[a-z0-9]{1,20}$")
    """The note."""


class Noted(Record):
    """That it was noted."""

    position: int
    """Position of the note."""


def _note(name: str) -> Noted:
    NOTES.append(name)
    return Noted(position=len(NOTES))


@tool(
    name="keeper.meet", version=1, tier=Tier.READ_ONLY, effect=Effect.READ, owner="tests", timeout_s=20, attempts=1,
    resource=("Mark", lambda args: args.name),
)  # fmt: skip
async def meet(args: Mark, _ctx: ToolContext) -> Noted:
    """Wait until the other one has come too."""
    mine = asyncio.Event()
    meeting.append(mine)
    if len(meeting) > 1:
        for event in meeting:
            event.set()
    await mine.wait()
    return _note(args.name)


@tool(
    name="keeper.glance", version=1, tier=Tier.READ_ONLY, effect=Effect.READ, owner="tests",
    resource=("Mark", lambda args: args.name),
)  # fmt: skip
async def glance(args: Mark, _ctx: ToolContext) -> Noted:
    """Note a short read, slowly enough to be overtaken if anything could."""
    NOTES.append(f"{args.name} begins")
    await asyncio.sleep(0.1)
    return _note(f"{args.name} ends")


@tool(
    name="keeper.write", version=1, tier=Tier.LOW_IMPACT, effect=Effect.WRITE, owner="tests",
    resource=("Mark", lambda args: args.name), natural_key=lambda args: args.name, key_window_s=3_600,
)  # fmt: skip
async def write(args: Mark, _ctx: ToolContext) -> Noted:
    """Note a write, slowly enough to be overtaken if anything could."""
    NOTES.append(f"{args.name} begins")
    await asyncio.sleep(0.1)
    return _note(f"{args.name} ends")
