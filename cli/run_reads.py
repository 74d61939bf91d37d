"""Who looked at a run, from the command line too: with the machine's own access, so by the operating system's user."""

import getpass
from collections.abc import Sequence

from cli.output import Exit, fail, print_json, print_table, say
from cli.run_source import open_store
from settings import Settings
from store.database import Database, StoreDown
from store.run_reads import RunReadLine, log_read, reads_of
from store.runs import load_run

__all__ = ["list_reads", "note_read"]


async def note_read(settings: Settings, tenants: Sequence[str], run_id: str, what: str) -> None:
    """Write down that somebody looked. A store that is down keeps nobody from an incident's evidence."""
    try:
        async with Database(settings.database_address(), role=settings.database_role, max_connections=1) as store:
            for tenant in tenants:
                if await load_run(store, tenant, run_id) is None:
                    continue
                user = f"host:{getpass.getuser()}"
                async with store.tenant(tenant) as cursor:
                    await log_read(cursor, tenant=tenant, run_id=run_id, reader=user, person=user, via="cli", what=what)
    except StoreDown as error:
        fail(f"this look at {run_id} was not written down: {error}")


async def list_reads(settings: Settings, tenants: Sequence[str], run_id: str, *, as_json: bool) -> int:
    """Print who looked at a run, newest first."""
    found: list[RunReadLine] = []
    async with open_store(settings) as store:
        for tenant in tenants:
            async with store.tenant(tenant) as cursor:
                found.extend(await reads_of(cursor, tenant, run_id))
    if as_json:
        print_json(found)
    elif found:
        rows = [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.reader, one.via, one.what) for one in found]
        print_table(("AT (UTC)", "WHO", "BY", "WHAT"), rows)
    else:
        say("nobody has looked at it.")
    return Exit.OK
