"""One SQLite file in WAL mode: many readers, one writer at a time, commits that survive a killed process."""

import queue
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

BUSY_TIMEOUT_MS = 10_000
POOL_SIZE_MAX = 64
SCHEMA = Path(__file__).with_name("schema.sql")


class Database:
    """Hands out connections for short transactions."""

    def __init__(self, path: Path) -> None:
        """Open the file, create what is missing in it, and keep one connection ready."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(POOL_SIZE_MAX)
        # SQLite's own lock polls; waiting here first makes writers take turns without sleeping.
        self._writer = threading.Lock()
        connection = self._open()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
        self._give_back(connection)

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """Yield a connection inside one consistent snapshot."""
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.rollback()
            self._give_back(connection)

    @contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """Yield a connection that holds the write lock. Leaving normally commits to disk; an exception undoes all."""
        connection = self._take()
        try:
            with self._writer:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close every idle connection."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        # isolation_level None: transactions begin and end where this module says, nowhere else.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection
