"""What is left of a run whose history Temporal no longer holds: its row and its audit chain."""

import json
from collections.abc import Sequence
from typing import cast

from rich.text import Text

from approvals.characters import plain
from cli.output import CliError, Exit, console, print_json, say
from cli.run_source import open_store
from cli.run_view import OUTCOME_STYLES
from contracts.base import JsonObject
from settings import Settings
from store.runs import load_run, step_lines

__all__ = ["print_remains"]

_MAX_ENTRIES = 10_000
_QUIET = frozenset({"step", "call", "visit", "decision", "evidence"})


async def print_remains(settings: Settings, tenants: Sequence[str], run_id: str, why: str, *, as_json: bool) -> int:
    """Say so, and print the chain. Exit code 1: the run cannot be shown whole."""
    run: JsonObject | None = None
    entries: list[JsonObject] = []
    async with open_store(settings) as store:
        for tenant in tenants:
            run = await load_run(store, tenant, run_id)
            if run is not None:
                entries = await step_lines(store, tenant, run_id, _MAX_ENTRIES)
                break
    if run is None:
        raise CliError(f"{why}, and the store knows no such run. `countersign runs list` shows them.", Exit.BAD)
    if as_json:
        print_json({"run_id": run_id, "history": None, "audit": cast("object", entries)})
        return Exit.BAD
    outcome = str(run["outcome"] or "open")
    console.print(
        Text.assemble((run_id, "bold"))
        + Text(f"  {run['agent']}", "cyan")
        + Text(f"  {outcome}", OUTCOME_STYLES[outcome]),
        soft_wrap=True,
    )
    say(f"{why}: its retention has passed, or it has not started. Its audit chain holds {len(entries)} entries:")
    for entry in entries:
        body = cast("JsonObject", entry["body"])
        step = f"step {body['step']}" if body.get("step") is not None else ""
        line = Text.assemble((f"  {step:8}", "dim"), (f"{entry['kind']:16}", "bold"), _facts(body))
        console.print(line, soft_wrap=True)
    return Exit.BAD


def _facts(body: JsonObject) -> str:
    facts = [
        f"{name}={_short(value)}" for name, value in body.items() if name not in _QUIET and value not in (None, "", [])
    ]
    return plain("  ".join(facts))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - a column's width
