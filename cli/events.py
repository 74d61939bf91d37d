"""`countersign send` and `countersign events`: deliver an event, see the inbox, drive on what was set aside."""

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from contracts.base import JsonObject
from settings import Settings
from settings.endpoint_secrets import read_endpoint_secrets
from settings.endpoints import Endpoint, load_endpoints
from settings.load import load_settings
from settings.tenants import load_tenants
from store.database import Database, StoreDown
from store.inbox import InboxEntry, InboxState, drive_again, entries
from workers.intake.answers import Receipt
from workers.intake.client import EventSender
from workers.intake.strict_json import BadJsonError, read_json

__all__ = ["mount"]

_MAX_FILE_BYTES = 1_048_576
_MAX_LISTED = 1_000
_ATTEMPTS = 2  # a person is waiting, and can type the command again

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="CloudEvent in JSON, or its data alone; - for stdin.")
]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant. Default: every tenant.")]


def mount(app: typer.Typer) -> None:
    """Add the verbs to the application."""
    app.command()(send)
    group = typer.Typer(help="The inbox: events as accepted, and what became of them.", no_args_is_help=True)
    group.command("list")(list_events)
    group.command("retry")(retry)
    app.add_typer(group, name="events")


def send(
    file: FileArgument,
    endpoint: Annotated[
        str | None, typer.Option(help="Endpoint of endpoints.yaml. Default: the only one there is.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Base address of the intake. Default: as configured.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Type, when FILE holds the data alone.")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="Id, when FILE holds the data alone.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Sign an event and deliver it. Sending the same event again is safe: it starts one run."""
    settings = load_settings()
    endpoints = load_endpoints(settings.endpoints_file, load_tenants(settings.tenants_file))
    name = endpoint or _only(endpoints)
    if name not in endpoints:
        raise CliError(f"there is no endpoint {name}. Endpoints: {', '.join(sorted(endpoints)) or 'none'}.")
    event = _event(_read(file), endpoints[name], event_type, event_id)
    found = read_endpoint_secrets({name: endpoints[name]}, settings.endpoint_secrets_file, settings.state_dir)
    base = (url or f"http://{settings.intake_host}:{settings.intake_port}").rstrip("/")
    answer = EventSender(url=f"{base}/events/{name}", secret=found.of(name)[0], attempts=_ATTEMPTS).send(event)
    if not isinstance(answer, Receipt):
        problem = answer.problem
        refused = answer.retry_after_s is None and 400 <= answer.status < 500  # noqa: PLR2004 - HTTP's own border
        raise CliError(
            f"{'refused' if refused else 'not delivered'} ({problem.code}): {problem.message}",
            Exit.BAD if refused else Exit.ERROR,
        )
    if as_json:
        print_json(answer)
        return Exit.OK
    again = "" if answer.status == "accepted" else " (this event was accepted before; nothing new was started)"
    say(f"{answer.run_id}{again}")
    say(f"Watch it: countersign runs watch {answer.run_id}")
    return Exit.OK


def list_events(
    tenant: TenantOption = None,
    state: Annotated[
        Literal["received", "started", "quarantined"] | None, typer.Option(help="Only rows in this state.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_LISTED, help="Rows of each tenant, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List accepted events, newest first, without their content."""
    settings = load_settings()
    rows = asyncio.run(_entries(settings, _tenants(settings, tenant), state, limit))
    if as_json:
        print_json(rows)
        return Exit.OK
    if not rows:
        say("no events")
        return Exit.OK
    print_table(
        ("RECEIVED", "TENANT", "ENDPOINT", "EVENT", "AGENT", "RUN", "STATE", "TRIES", "ERROR"),
        [
            (
                *(row.received_at[:19].replace("T", " "), row.tenant, row.endpoint, row.event_id, row.agent),
                *(row.run_id, row.state, str(row.attempts), row.last_error),
            )
            for row in rows
        ],
    )
    return Exit.OK


def retry(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run that the event was to start.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every event that was set aside.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """Give events that were set aside (quarantined) back to the dispatcher."""
    if (run_id is None) is not everything:
        raise CliError("name one run, or say --all. `countersign events list --state quarantined` shows them.")
    settings = load_settings()
    driven = asyncio.run(_drive_again(settings, _tenants(settings, tenant), run_id))
    if as_json:
        print_json({"runs": cast("object", driven)})
    for driven_id in () if as_json else driven:
        say(f"{driven_id}: will be started again")
    if not driven and run_id is not None:
        raise CliError(f"no event of {run_id} is set aside. `countersign events list` shows the inbox.", Exit.BAD)
    if not driven and not as_json:
        say("nothing is set aside")
    return Exit.OK


def _only(endpoints: dict[str, Endpoint]) -> str:
    if len(endpoints) == 1:
        return next(iter(endpoints))
    raise CliError(f"name the endpoint: --endpoint {'|'.join(sorted(endpoints)) or 'NAME'}.")


def _read(file: str) -> JsonObject:
    try:
        if file == "-":
            body = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                body = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror}. Check the path.") from error
    if len(body) > _MAX_FILE_BYTES:
        raise CliError(f"{file} is larger than {_MAX_FILE_BYTES} bytes. An event is small: send references.")
    try:
        value = read_json(body)
    except BadJsonError as error:
        raise CliError(f"{file}: {error}. Correct the file.") from error
    if not isinstance(value, dict):
        raise CliError(f"{file} holds no JSON object. It must be a CloudEvent, or its data.")
    return value


def _event(value: JsonObject, endpoint: Endpoint, event_type: str | None, event_id: str | None) -> JsonObject:
    """The CloudEvent itself, or one made around data."""
    if "specversion" in value:
        if event_type or event_id:
            raise CliError("FILE is a CloudEvent, with a type and an id of its own. Leave out --type and --id.")
        return value
    if event_type is None:
        known = sorted({name for route in endpoint.routes for name in route.when["type"]})
        raise CliError(f"FILE is no CloudEvent (it has no specversion). Say its --type: {', '.join(known)}.")
    return {
        "specversion": "1.0",
        "id": event_id or f"cli-{secrets.token_hex(8)}",
        "source": endpoint.sources[0],
        "type": event_type,
        "data": value,
    }


def _tenants(settings: Settings, tenant: str | None) -> list[str]:
    known = load_tenants(settings.tenants_file).tenants
    if tenant is None:
        return list(known)
    if tenant not in known:
        raise CliError(f"there is no tenant {tenant}. Tenants: {', '.join(sorted(known))}.")
    return [tenant]


def _database(settings: Settings) -> Database:
    return Database(settings.database_address(), role=settings.database_role, max_connections=1)


async def _entries(settings: Settings, tenants: list[str], state: InboxState | None, limit: int) -> list[InboxEntry]:
    try:
        async with _database(settings) as store:
            found = [row for tenant in tenants for row in await entries(store, tenant, state=state, most=limit)]
    except StoreDown as error:
        raise CliError(f"{error}. Check `countersign status`.") from error
    return sorted(found, key=lambda row: row.received_at, reverse=True)


async def _drive_again(settings: Settings, tenants: list[str], run_id: str | None) -> list[str]:
    try:
        async with _database(settings) as store:
            return [found for tenant in tenants for found in await drive_again(store, tenant, run_id)]
    except StoreDown as error:
        raise CliError(f"{error}. Check `countersign status`.") from error
