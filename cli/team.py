"""`countersign secrets`, `migrate`, `namespace`: prepare servers of your own for an installation with several hosts."""

import asyncio
import secrets as random_source
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import psycopg
import typer
from temporalio.service import RPCError

from cli.output import CliError, Exit, say
from settings import Settings, SettingsError
from settings.endpoints import load_endpoints
from settings.load import load_settings
from settings.sources import ROOT
from settings.temporal import connect
from settings.tenants import load_tenants
from store import migrations
from store.agents import ensure_agent_states
from store.database import Database
from store.logins import admit_login
from workers.embedded.keys import make_keys
from workers.embedded.namespace import prepare_namespace

__all__ = ["mount", "write_secrets"]

_FOLDER = ROOT / "docker" / "secrets"
_LOOK_EVERY_S = 1.0
_SERVER = "postgres:5432/countersign"
_PASSWORDS = ("postgres", "postgres-owner", "postgres-login", "temporal-postgres")
_MODEL_KEYS = ("openai_api_key", "anthropic_api_key")
_FOLDER_MODE = 0o700
_FILE_MODE = 0o444
_T = TypeVar("_T")

WaitOption = Annotated[float, typer.Option("--wait", min=0, max=3_600, help="Seconds to wait for the server.")]


def mount(app: typer.Typer) -> None:
    """Add the verbs to the application."""
    for verb in (secrets, migrate, namespace):
        app.command()(verb)


def secrets(
    folder: Annotated[Path, typer.Argument(help="Where to put them; what is there stays as it is.")] = _FOLDER,
) -> int:
    """Make the keys, passwords and addresses that docker-compose.yml mounts as secrets."""
    made = write_secrets(load_settings(), folder.absolute())
    say(f"made {', '.join(made)} in {folder}" if made else f"nothing was missing in {folder}")
    say(
        f"a model's key goes into {folder / 'countersign_openai_api_key'} or {folder / 'countersign_anthropic_api_key'}"
    )
    return Exit.OK


def migrate(wait_s: WaitOption = 60.0) -> int:
    """Bring the database to the form of this code: roles, tables, functions, a first state for each agent.

    Connects as COUNTERSIGN_MIGRATION_DATABASE_URL, which owns the tables, and lets the login of DATABASE_URL take on
    the application's roles. May be repeated; older code goes on working beside it until it is replaced.
    """
    settings = load_settings()
    owner, address = settings.migration_database_address(), settings.database_address()
    _until(lambda: psycopg.connect(owner, connect_timeout=5).close(), wait_s, "the database", psycopg.OperationalError)
    try:
        migrations.upgrade(owner)
        login = admit_login(owner, address, (settings.database_role, settings.dispatch_role))
    except psycopg.Error as error:
        message = " ".join(str(error).split())[:300]
        raise CliError(f"the owner cannot migrate: {message}. Give it the database and CREATEROLE.") from error
    say(f"the database is at {migrations.head()}" + (f"; {login} may take on its roles" if login else ""))
    for agent in asyncio.run(_first_states(settings)):
        say(f"{agent}: starts as the tenants' file says")
    return Exit.OK


def namespace(wait_s: WaitOption = 60.0) -> int:
    """Prepare the namespace of the runs: make it if it is absent, raise its retention, register search attributes."""
    settings = load_settings()

    def prepare() -> tuple[str, ...]:
        return asyncio.run(_prepared(settings))

    done = _until(prepare, wait_s, "Temporal", SettingsError, RPCError)
    what = ", ".join(done) or "nothing was missing"
    say(f"namespace {settings.temporal_namespace} at {settings.temporal_address}: {what}")
    return Exit.OK


def write_secrets(settings: Settings, folder: Path) -> tuple[str, ...]:
    """Write every file that is missing. Returns their names.

    The folder is closed to others and its files are open: a container's user reads what is mounted for it, whatever
    its id, while on the host nobody else can reach them.
    """
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    before = {file.name for file in folder.iterdir()}
    files = {
        "vote_key_file": "vote.jwk",
        "credential_key_file": "credential.jwk",
        "credential_public_keys_file": "credential.jwks.json",
        "endpoint_secrets_file": "endpoints.json",
        "session_secret_file": "session.secret",
        "backoffice_admin_token_file": "backoffice-admin.token",
    }
    endpoints = load_endpoints(settings.endpoints_file, load_tenants(settings.tenants_file))
    own: dict[str, object] = {name: folder / file for name, file in files.items()}
    placed = settings.model_copy(update={**own, "vote_key": None, "credential_key": None})
    make_keys(placed, [name for name, endpoint in endpoints.items() if not endpoint.secrets], lambda _line: None)
    for name in _PASSWORDS:
        _once(folder / f"{name}-password", random_source.token_urlsafe(24))
    for name, login in (("migration_database_url", "owner"), ("database_url", "login")):
        password = (folder / f"postgres-{login}-password").read_text(encoding="ascii")
        _once(folder / f"countersign_{name}", f"postgresql://countersign_{login}:{password}@{_SERVER}")
    for name in _MODEL_KEYS:
        _once(folder / f"countersign_{name}", "")
    for file in folder.iterdir():
        file.chmod(_FILE_MODE)
    return tuple(sorted(file.name for file in folder.iterdir() if file.name not in before))


def _once(file: Path, text: str) -> None:
    if not file.exists():
        file.write_text(text, encoding="ascii")


def _until(attempt: Callable[[], _T], wait_s: float, what: str, *errors: type[Exception]) -> _T:
    """The attempt's value, tried until it succeeds or the time is over."""
    until_s = time.monotonic() + wait_s
    while True:
        try:
            return attempt()
        except errors as error:
            if time.monotonic() >= until_s:
                message = " ".join(str(error).split())[:300]
                raise CliError(f"{what} cannot be used: {message}. Check its address and that it runs.") from error
        time.sleep(_LOOK_EVERY_S)


async def _first_states(settings: Settings) -> list[str]:
    tenants = load_tenants(settings.tenants_file)
    async with Database(settings.database_address(), role=settings.database_role, max_connections=1) as store:
        return await ensure_agent_states(store, tenants)


async def _prepared(settings: Settings) -> tuple[str, ...]:
    return await prepare_namespace(await connect(settings))
