"""What every command shares: printing for people and machines, errors in one line, exit codes.

Exit codes: 0 all is well; 1 the thing asked about is bad (a check failed, a replay diverged); 2 wrong usage or
configuration, or something cannot be reached.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from io import StringIO
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["CliError", "Exit", "JsonOption", "console", "fail", "print_json", "print_table", "say"]


_PIPE_WIDTH = 1_000


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    BAD = 1
    ERROR = 2


class CliError(Exception):
    """An expected failure: one line on stderr that says what is wrong and what to do."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

console = Console(soft_wrap=False, highlight=False)
"""Where results go. Colours and width follow the terminal; none in a pipe."""


def say(text: str) -> None:
    """A line of progress, at once."""
    # Not markup: log lines and paths hold brackets.
    console.print(Text(text), soft_wrap=True)
    sys.stdout.flush()


def fail(message: str) -> None:
    """An error in one line on stderr."""
    line = " ".join(message.split())
    Console(stderr=True, highlight=False).print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)


def print_json(value: BaseModel | Sequence[BaseModel] | dict[str, object] | list[dict[str, object]]) -> None:
    """A result for machines: one JSON document on stdout."""
    document: object
    match value:
        case BaseModel():
            document = value.model_dump(mode="json")
        case dict():
            document = value
        case _:
            document = [item.model_dump(mode="json") if isinstance(item, BaseModel) else item for item in value]
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str | None = None) -> None:
    """A listing for people: aligned, no frame. In a pipe no line is folded."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    if console.is_terminal:
        console.print(table)
        return
    text = StringIO()
    Console(file=text, width=_PIPE_WIDTH).print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
