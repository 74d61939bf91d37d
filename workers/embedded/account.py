"""The system account of Postgres when we are root, which Postgres refuses to run as."""

import fcntl
import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.embedded.errors import StackError

__all__ = ["Account", "let_through", "own_folder", "readable", "unprivileged"]

_NAME = "pgserver"
_ACCOUNTS_FOLDER = "/etc"
_LIMIT_S = 30


@dataclass(frozen=True, slots=True)
class Account:
    """A system account without privileges."""

    name: str
    """Its name."""
    user_id: int
    """Its user id."""
    group_id: int
    """Its group id."""


def unprivileged() -> Account | None:
    """The account to run Postgres as: made at need when we are root; None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    return _account() or _made_account()


def _account() -> Account | None:
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError:
        return None
    return Account(_NAME, entry.pw_uid, entry.pw_gid)


def _made_account() -> Account:
    """Made once: of two `useradd` at the same time both succeed, and the second takes the first one's user id away."""
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME]
    folder = os.open(_ACCOUNTS_FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if (made_meanwhile := _account()) is not None:
            return made_meanwhile
        subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)
        entry = pwd.getpwnam(_NAME)
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        raise StackError(
            f"Postgres does not run as root, and the account {_NAME} cannot be made ({type(error).__name__}). "
            f"Run `{' '.join(command)}`, be an ordinary user, or set DATABASE_URL."
        ) from error
    finally:
        os.close(folder)
    return Account(_NAME, entry.pw_uid, entry.pw_gid)


def own_folder(folder: Path, account: Account | None) -> None:
    """Make a folder that only the account (or we) can enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if account is not None:
        os.chown(folder, account.user_id, account.group_id)


def let_through(folder: Path, say: Callable[[str], None]) -> None:
    """Let the account pass through the folders above: passing only, no listing. Each changed folder is said."""
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            say(f"{parent}: others may pass through now, because Postgres runs as {_NAME}")


def readable(program: Path, say: Callable[[str], None]) -> None:
    """Let the account run a program of the environment, and read the libraries beside it."""
    let_through(program, say)
    if program.stat().st_mode & stat.S_IXOTH:
        return
    # Installed under a strict umask. The wheel holds public files alone.
    for path in (program.parent.parent, *program.parent.parent.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            runs = stat.S_IXOTH if mode & stat.S_IXUSR else 0
            path.chmod(stat.S_IMODE(mode) | stat.S_IROTH | runs)
