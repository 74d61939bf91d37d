"""Replace what stands in a key file, in place: a container that has this one file mounted sees the change."""

import os
import stat
from pathlib import Path

from settings.errors import SettingsError

__all__ = ["replace_in_place"]


def replace_in_place(file: Path, text: str) -> None:
    """Write the text into the file that is there; its mode stays.

    A new file under the old name would be another one, which a mount of the old one never shows. So the old content is
    kept beside it until the new one is on disk: `NAME.old`, readable by its owner alone, is what a crash leaves.

    Raises:
        SettingsError: it cannot be written; what stood there is in the file or beside it.
    """
    content = text.encode("ascii") + b"\n"
    old = file.with_name(file.name + ".old")
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        _write(os.open(old, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), file.read_bytes())
        file.chmod(mode | stat.S_IWUSR)
        try:
            _write(os.open(file, os.O_WRONLY | os.O_TRUNC), content)
        finally:
            file.chmod(mode)
        old.unlink()
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be written: {error.strerror}. Run as its owner; {old.name} beside it, if it is there, is "
            "what it was."
        ) from error


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
