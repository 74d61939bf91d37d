"""Where things are written, as text; and the search for secrets and credentials in it."""

import base64
import binascii
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import psycopg
from psycopg import sql
from temporalio.client import Client

__all__ = ["Places", "credentials_in", "dumped_tables", "files_below", "forms_of", "found_in", "histories"]

Places = dict[str, bytes]
"""What was found where: a name for people, and everything that stands there."""
_COMPACT_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
_MAX_TABLES = 200


def dumped_tables(owner_url: str) -> Places:
    """Every row of every table, view and sequence that the catalog knows outside of Postgres's own schemas."""
    found: Places = {}
    with psycopg.connect(owner_url) as connection:
        tables = connection.execute(
            """select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema')
                   and n.nspname !~ '^pg_'"""
        ).fetchall()
        assert 0 < len(tables) <= _MAX_TABLES
        for schema, table in cast("list[tuple[str, str]]", tables):
            # As text and by column: a bytea is shown in hex, which is one of the forms that are searched for.
            rows = connection.execute(
                sql.SQL("select t::text from {}.{} t").format(*map(sql.Identifier, (schema, table)))
            )
            found[f"table {schema}.{table}"] = "\n".join(str(row[0]) for row in rows).encode()
    return found


def files_below(folder: Path, *, without: Iterable[str] = ()) -> Places:
    """Every file below a folder, but those that lie in one of the named places."""
    left_out = [folder / name for name in without]
    return {
        f"file {file.relative_to(folder)}": file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(file == place or place in file.parents for place in left_out)
    }


async def histories(client: Client) -> Places:
    """The whole history of every execution that the namespace has, with payloads decoded."""
    found: Places = {}
    async for execution in client.list_workflows(""):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        history = (await handle.fetch_history()).to_json()
        payloads = re.findall(r'"data":\s*"([A-Za-z0-9+/=]+)"', history)
        decoded = b"\n".join(base64.b64decode(payload) for payload in payloads)
        found[f"history {execution.id}"] = history.encode() + b"\n" + decoded
    return found


def forms_of(secret: str) -> set[bytes]:
    """A secret as it may stand somewhere: plain, quoted, and encoded in the usual ways."""
    raw = secret.encode()
    texts = {secret, urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # Inside of something longer, base64 depends on where it begins: what the neighbours cannot change is kept.
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        inner = encoded[4 if shift else 0 : len(encoded) - 2]
        texts |= {inner, inner.replace("+", "-").replace("/", "_")}
    # Shorter ones occur by chance.
    return {text.encode() for text in texts if len(text) >= 12}


def found_in(places: Mapping[str, bytes], secrets: Mapping[str, str]) -> list[str]:
    """Which secret stands where. Never the secret itself: this is what a failed test prints."""
    wanted = {name: forms_of(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}"
        for place, content in places.items()
        for name, forms in wanted.items()
        if any(form in content for form in forms)
    ]


def credentials_in(places: Mapping[str, bytes]) -> tuple[list[str], int]:
    """Places that hold a credential of a call, and how many signed statements of any kind were looked at."""
    held: list[str] = []
    looked = 0
    for place, content in places.items():
        for match in _COMPACT_JWT.finditer(content):
            payload = match[0].split(b".")[1]
            try:
                claims = json.loads(base64.urlsafe_b64decode(payload + b"=="))
            except (binascii.Error, ValueError):
                continue
            looked += 1
            if "authorization_details" in claims or "client_assertion" in claims:
                held.append(place)
    return held, looked
