"""From what a person types to a run: a file, a whole id, or the beginning of one."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.service import RPCError

from cli.output import CliError, Exit
from incidents.export import read_history
from incidents.history import BrokenHistoryError, RunHistory, fetch_history
from settings import Settings
from settings.temporal import connect
from settings.tenants import load_tenants
from store.database import Database, StoreDown
from store.runs import find_run_ids

__all__ = ["file_of", "find_run", "history_from_file", "history_of", "open_store", "tenants_of", "wire_faults"]

_WHOLE = re.compile(r"run-[a-z2-7]{26}")
_PART = re.compile(r"run-[a-z2-7]{0,26}|[a-z2-7]{1,26}")
_SHOWN = 4


def file_of(target: str) -> Path | None:
    """The file that is meant, or None for a run's id."""
    path = Path(target)
    return path if path.suffix or "/" in target or path.is_file() else None


def history_from_file(path: Path) -> RunHistory:
    """An exported history."""
    try:
        return read_history(path)
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}. Check the path, or give a run's id.") from error
    except BrokenHistoryError as error:
        raise CliError(
            f"{path} is no usable history: {error}. Export it anew with `countersign runs export`."
        ) from error


def tenants_of(settings: Settings, tenant: str | None) -> list[str]:
    """The tenant that was named, or all of them."""
    known = load_tenants(settings.tenants_file).tenants
    if tenant is None:
        return list(known)
    if tenant not in known:
        raise CliError(f"there is no tenant {tenant}. Tenants: {', '.join(sorted(known))}.")
    return [tenant]


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncGenerator[Database]:
    """The store, with its faults in a line."""
    try:
        async with Database(settings.database_address(), role=settings.database_role, max_connections=1) as store:
            yield store
    except StoreDown as error:
        raise CliError(f"{error}. Check `countersign status`.") from error


async def find_run(settings: Settings, target: str, tenants: Sequence[str]) -> str:
    """A run's whole id. Only the beginning of one needs the store."""
    if _WHOLE.fullmatch(target):
        return target
    if not _PART.fullmatch(target):
        raise CliError(f"{target} is neither a file nor a run's id (run-…). `countersign runs list` shows them.")
    prefix = target if target.startswith("run-") else f"run-{target}"
    async with open_store(settings) as store:
        found = [run for tenant in tenants for run in await find_run_ids(store, tenant, prefix, limit=_SHOWN + 1)]
    match found:
        case [only]:
            return only
        case []:
            raise CliError(f"no run begins with {prefix}. `countersign runs list` shows them.", Exit.BAD)
        case _:
            some = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
            raise CliError(f"{prefix} is the beginning of several runs: {some}. Type more of it.")


@asynccontextmanager
async def wire_faults() -> AsyncGenerator[None]:
    """A fault of Temporal in a line."""
    try:
        yield
    except RPCError as error:
        raise CliError(f"Temporal says: {error.message.rstrip('.')}. Check `countersign doctor`.") from error
    except BrokenHistoryError as error:
        raise CliError(f"Temporal's history cannot be used: {error}. Please report it.", Exit.BAD) from error


async def history_of(settings: Settings, run_id: str) -> RunHistory:
    """The history as Temporal holds it.

    Raises:
        HistoryGoneError: it holds none.
    """
    client = await connect(settings)
    async with wire_faults():
        return await fetch_history(client, run_id)
