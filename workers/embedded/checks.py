"""What `countersign doctor` checks: each result says what is wrong and what to do."""

import os
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Literal

import psycopg
from pydantic import BaseModel, ConfigDict
from temporalio.service import RPCError

from settings import Settings, SettingsError
from settings.calendars import load_calendars
from settings.describe import unknown_variables
from settings.endpoints import load_endpoints
from settings.providers import choose_provider
from settings.temporal import connect
from settings.tenants import load_tenants
from store import migrations
from workers.embedded import namespace, postgres, temporal
from workers.embedded.components import PORTS
from workers.embedded.errors import StackError
from workers.embedded.lock import is_held
from workers.embedded.ports import is_free

__all__ = ["CheckResult", "check_installation"]

CLOCK_DIFFERENCE_MAX_S = 60
RETENTION_MIN_DAYS = 7
_CONNECT_LIMIT_S = 5
_START = "Start it with `countersign up`."


class CheckResult(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What was looked at."""
    outcome: Literal["ok", "warning", "error"]
    """`error`: runs cannot work like this."""
    found: str
    """What was found."""
    advice: str = ""
    """What to do; empty when all is well."""


async def check_installation(settings: Settings) -> tuple[CheckResult, ...]:
    """Look at everything; nothing is changed."""
    results = [*_programs(), *_configuration(settings), *_state_folder(settings), *_ports(settings)]
    results += _model(settings)
    checks: tuple[Callable[[Settings], Awaitable[list[CheckResult]]], ...] = (_database, _temporal)
    for check in checks:
        results += await check(settings)
    return tuple(results)


def _ok(name: str, found: str) -> CheckResult:
    return CheckResult(name=name, outcome="ok", found=found)


def _warning(name: str, found: str, advice: str) -> CheckResult:
    return CheckResult(name=name, outcome="warning", found=found, advice=advice)


def _error(name: str, found: str, advice: str) -> CheckResult:
    return CheckResult(name=name, outcome="error", found=found, advice=advice)


def _programs() -> Iterator[CheckResult]:
    yield _ok("python", f"{sys.version.split()[0]} at {sys.executable}")
    for name, program in (("postgres", lambda: postgres.program("postgres")), ("temporal", temporal.program)):
        try:
            yield _ok(f"{name} program", str(program()))
        except StackError as error:
            found, _, advice = str(error).partition(". ")
            yield _error(f"{name} program", found, advice)


def _configuration(settings: Settings) -> Iterator[CheckResult]:
    unknown = unknown_variables()
    if unknown:
        yield _warning("settings", f"unknown: {', '.join(unknown)}", "Correct it; `countersign config` lists all.")
    else:
        yield _ok("settings", "every COUNTERSIGN_ variable is known")
    try:
        endpoints = load_endpoints(settings.endpoints_file, load_tenants(settings.tenants_file))
        yield _ok("endpoints", f"{len(endpoints)} in {settings.endpoints_file}")
    except SettingsError as error:
        yield _error("endpoints", str(error), "Correct the file.")
    try:
        yield _calendars(settings)
    except (SettingsError, ValueError, OSError) as error:
        yield _error("calendars", str(error), "Correct the file.")


def _calendars(settings: Settings) -> CheckResult:
    """Calendars go stale in silence: holidays that differ by year have to be written for the next one.

    Raises:
        SettingsError, ValueError, OSError: the worker would not start with it, or with the ladder.
    """
    from activities.bundles import load_ladder  # noqa: PLC0415 - with policies, which `up` and `status` need not import
    from activities.calendars import Calendars  # noqa: PLC0415 - the same

    Calendars(settings.calendars_file, load_ladder(settings.ladder_file))
    today = datetime.now(UTC).date()
    calendars = load_calendars(settings.calendars_file).calendars
    stale = [name for name, one in calendars.items() if one.dates() and max(one.dates()) < today]
    if stale:
        advice = f"Write those of the coming year into {settings.calendars_file}."
        return _warning("calendars", f"no dated holiday lies ahead: {', '.join(stale)}", advice)
    return _ok("calendars", f"{len(calendars)} in {settings.calendars_file}")


def _state_folder(settings: Settings) -> Iterator[CheckResult]:
    folder = settings.state_dir
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        yield _error("state folder", f"{place} is not writable", "Change its owner, or set COUNTERSIGN_STATE_DIR.")
    else:
        yield _ok("state folder", str(folder))
    inside = postgres.socket_folder(folder / "postgres")
    if folder not in inside.parents:
        yield _ok("socket folder", f"{inside}, because the state folder's path is too long for a socket")
    open_files = [
        file
        for file in (settings.vote_key_file, settings.credential_key_file, settings.endpoint_secrets_file)
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    for file in open_files:
        yield _error("keys", f"{file} is open to others", f"Run `chmod 600 {file}`, and replace the key.")
    if not open_files:
        yield _ok("keys", "open to nobody else" if settings.vote_key_file.exists() else "made by `countersign up`")


def _ports(settings: Settings) -> Iterator[CheckResult]:
    if is_held(settings.state_dir):
        yield _ok("ports", "held by the running stack")
        return
    for name, host_name in PORTS.items():
        port: int = getattr(settings, name)
        host: str = getattr(settings, host_name) if host_name else "127.0.0.1"
        if not is_free(port, host):
            advice = f"`countersign up` takes the next free one; or set COUNTERSIGN_{name.upper()}."
            yield _warning("ports", f"{port} ({name}) is taken", advice)
    yield _ok("ports", ", ".join(str(getattr(settings, name)) for name in PORTS))


def _model(settings: Settings) -> Iterator[CheckResult]:
    choice = choose_provider(settings)
    found = f"{choice.provider}: {choice.reason}"
    if choice.missing:
        yield _error("model", found, choice.missing)
    elif choice.provider == "scripted":
        yield _warning("model", found, "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or OPENAI_BASE_URL for a real model.")
    else:
        yield _ok("model", found)
    yield from _model_map(settings)


def _model_map(settings: Settings) -> Iterator[CheckResult]:
    """Whether each model of the provider in use has a price, and an id that stays with one version."""
    from activities.models.model_map import (  # noqa: PLC0415 - with the ones below, which `up` need not import
        ModelMapError,
        load_model_map,
        provider_in_use,
    )
    from activities.models.vetting import faults_in_use  # noqa: PLC0415 - a price list

    try:
        provider = provider_in_use(settings)
        names = [name for name, entries in load_model_map(settings.models_file).items() if provider in entries]
        faults = faults_in_use(names, settings)
    except ModelMapError as error:
        found, _, advice = str(error).partition(". ")
        yield _error("model map", found, advice or "Correct the file.")
        return
    for fault in faults:
        result = _error if fault.rule == "model-unpriced" else _warning
        yield result("model map", fault.message, fault.advice)
    if not faults:
        yield _ok("model map", f"{', '.join(names)}: each with a price and a version")


async def _database(settings: Settings) -> list[CheckResult]:
    name = "database"
    if settings.database_url is None:
        return [_warning(name, "embedded, not running", _START)]
    try:
        before_s = time.time()
        async with await psycopg.AsyncConnection.connect(
            settings.database_address(),
            connect_timeout=_CONNECT_LIMIT_S,
            options=f"-c role={settings.database_role}",
            autocommit=True,
        ) as connection:
            row = await (
                await connection.execute(
                    "select extract(epoch from clock_timestamp())::float8, current_setting('server_version'),"
                    " r.rolsuper or r.rolbypassrls, l.rolsuper or l.rolbypassrls, session_user::text"
                    " from pg_roles r, pg_roles l where r.rolname = current_user and l.rolname = session_user"
                )
            ).fetchone()
            after_s = time.time()
        revision = await _revision(settings)
    except psycopg.Error as error:
        message = " ".join(str(error).split())[:200]
        return [_error(name, f"cannot be used: {message}", "Check `countersign status`, DATABASE_URL and the role.")]
    if row is None:
        return [_error(name, "the role is not known", "Run the migrations: `countersign up`.")]
    server_s, version, role_passes, login_passes, login = row
    results = [_ok(name, f"PostgreSQL {version}, role {settings.database_role}")]
    if role_passes:
        advice = f"Run `alter role {settings.database_role} nosuperuser nobypassrls`."
        results.append(_error("database role", f"{settings.database_role} passes row-level security", advice))
    elif login_passes:
        advice = f"Connect as a login without these rights that is a member of {settings.database_role}."
        results.append(_warning("database role", f"the login {login} could pass row-level security", advice))
    else:
        results.append(_ok("database role", f"{login} as {settings.database_role}: held by row-level security"))
    results.append(revision)
    # The server's clock was read some time between our two looks: the smallest difference that this allows.
    difference_s = max(before_s - server_s, server_s - after_s, 0.0)
    if difference_s > CLOCK_DIFFERENCE_MAX_S:
        results.append(_error("clock", f"{difference_s:.0f} s from the database's", "Set this machine's clock (NTP)."))
    else:
        results.append(_ok("clock", f"{difference_s:.1f} s from the database's"))
    return results


async def _revision(settings: Settings) -> CheckResult:
    wanted = migrations.head()
    async with await psycopg.AsyncConnection.connect(
        settings.migration_database_address(), connect_timeout=_CONNECT_LIMIT_S, autocommit=True
    ) as connection:
        try:
            row = await (await connection.execute("select version_num from alembic_version")).fetchone()
        except psycopg.errors.UndefinedTable:
            row = None
        except psycopg.errors.InsufficientPrivilege:
            advice = "Set COUNTERSIGN_MIGRATION_DATABASE_URL to let `countersign up` migrate."
            return _warning("migrations", "not visible to this login", advice)
    revision = "none" if row is None else str(row[0])
    if revision != wanted:
        return _error("migrations", f"the database is at {revision}, the code at {wanted}", "Run `countersign up`.")
    return _ok("migrations", f"at {revision}")


async def _temporal(settings: Settings) -> list[CheckResult]:
    name = "temporal"
    if settings.temporal_address is None:
        return [_warning(name, "embedded, not running", _START)]
    where = settings.temporal_namespace
    try:
        client = await connect(settings)
        days = await namespace.retention_days(client)
        missing = await namespace.missing_search_attributes(client)
    except SettingsError as error:
        found, _, advice = str(error).partition(". ")
        return [_error(name, found, advice)]
    except RPCError as error:
        advice = "Create it, or set COUNTERSIGN_TEMPORAL_NAMESPACE."
        return [_error(name, f"namespace {where}: {error.message[:200]}", advice)]
    results = [_ok(name, f"{settings.temporal_address}, namespace {where}")]
    if days < RETENTION_MIN_DAYS:
        advice = f"Run `temporal operator namespace update --retention {temporal.RETENTION_DAYS}d -n {where}`."
        results.append(_error("retention", f"{days:g} days, fewer than {RETENTION_MIN_DAYS}", advice))
    else:
        results.append(_ok("retention", f"{days:g} days"))
    if missing:
        options = " ".join(f"--name {attribute} --type Keyword" for attribute in missing)
        advice = f"Run `temporal operator search-attribute create {options} -n {where}`."
        results.append(_error("search attributes", f"missing: {', '.join(missing)}", advice))
    else:
        results.append(_ok("search attributes", ", ".join(temporal.SEARCH_ATTRIBUTES)))
    return results
