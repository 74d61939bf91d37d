"""Bring a database to the current form: Alembic revisions, then the named functions of `store/sql`."""

from pathlib import Path
from typing import cast

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

__all__ = ["current", "head", "run_file", "upgrade"]

_FOLDER = Path(__file__).parent
_FUNCTIONS = _FOLDER.parent / "sql"
_LOCK = 0x636F756E746572  # any fixed number: two processes that migrate at once wait for each other


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def head() -> str:
    """The newest revision in the code."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(connection: Connection) -> str:
    """The revision of a database; empty before the first."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def run_file(connection: Connection, file: Path) -> None:
    """Run a file of several statements as it stands, in the connection's transaction."""
    driver = cast("psycopg.Connection[tuple[object, ...]]", connection.connection.driver_connection)
    driver.execute(file.read_bytes())


def upgrade(url: str) -> None:
    """Migrate the database at a `postgresql://` address, as the owner of its tables. May be repeated."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    config = _config()
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            for file in sorted(_FUNCTIONS.glob("*.sql")):
                run_file(connection, file)
    finally:
        engine.dispose()
