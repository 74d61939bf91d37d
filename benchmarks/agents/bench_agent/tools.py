"""Tools without a service: a read that returns a page, and a write into this process's memory."""

from typing import Literal

from pydantic import Field

from benchmarks.pages import is_write, page_text
from contracts.base import Record
from contracts.tool import Effect, Label, Tier, ToolContext, tool

Next = Literal["read", "write", "finish"]
_notes: dict[str, str] = {}
_MAX_NOTES = 100_000


class PageArgs(Record):
    """Which page."""

    book: str = Field(min_length=1, max_length=80)
    """The book, as the event names it."""
    round: int = Field(ge=1, le=10_000)
    """Which round this is; the page of that number is read."""
    rounds: int = Field(ge=1, le=10_000)
    """How many rounds there are."""


class Page(Record):
    """A page."""

    next: Next
    """What the next round does."""
    next_round: int
    """Its number."""
    text: str
    """What stands on the page."""


class NoteArgs(Record):
    """What to write."""

    book: str = Field(min_length=1, max_length=80)
    """The book, as the event names it."""
    round: int = Field(ge=1, le=10_000)
    """Which round this is."""
    rounds: int = Field(ge=1, le=10_000)
    """How many rounds there are."""
    note: str = Field(min_length=1, max_length=500)
    """The note."""


class Note(Record):
    """A note that was written."""

    next: Next
    """What the next round does."""
    next_round: int
    """Its number."""
    note_id: str
    """Name of the note."""


def _book(args: PageArgs | NoteArgs) -> str:
    return args.book


def _next(round_number: int, rounds: int) -> Next:
    if round_number >= rounds:
        return "finish"
    return "write" if is_write(round_number + 1) else "read"


@tool(
    name="bench.read_page",
    version=1,
    tier=Tier.READ_ONLY,
    effect=Effect.READ,
    owner="platform",
    resource=("Book", _book),
    labels={"text": Label.UNTRUSTED},
)
async def read_page(args: PageArgs, _ctx: ToolContext) -> Page:
    """Read the page of a round."""
    return Page(next=_next(args.round, args.rounds), next_round=args.round + 1, text=page_text(args.round))


@tool(
    name="bench.write_note",
    version=1,
    tier=Tier.LOW_IMPACT,
    effect=Effect.WRITE,
    owner="platform",
    resource=("Book", _book),
    natural_key=lambda args: f"{args.book}/{args.round}",
)
async def write_note(args: NoteArgs, _ctx: ToolContext) -> Note:
    """Write the note of a round. Writing it again changes nothing."""
    note_id = f"{args.book}/{args.round}"
    if len(_notes) >= _MAX_NOTES:
        _notes.clear()
    _notes[note_id] = args.note
    return Note(next=_next(args.round, args.rounds), next_round=args.round + 1, note_id=note_id)
