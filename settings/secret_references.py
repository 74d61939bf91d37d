"""Secrets by reference: where one lies stands in the settings, the secret itself does not.

`env:NAME` a variable of this process; `file:PATH` a file (relative paths: below the folder that the caller names);
`command:PROGRAM ARGUMENT …` what a program prints, run without a shell. No message shows a value, nor what a command
wrote to its standard error.
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, StringConstraints

from settings.errors import SettingsError

__all__ = ["Secret", "SecretReference", "is_reference", "read_secret", "referenced_file", "referenced_variable"]

SecretReference = Annotated[
    str,
    StringConstraints(
        pattern=r"^(file:[^\x00-\x1f]{1,400}|env:[A-Za-z_][A-Za-z0-9_]{0,99}|command:[^\x00-\x1f]{1,1000})$"
    ),
]
"""Where a secret lies."""

COMMAND_TIMEOUT_S = 10
MAX_BYTES = 100_000
_KINDS = ("env:", "file:", "command:")
_GIVEN_TO_COMMANDS = ("HOME", "LANG", "LOGNAME", "PATH", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER")


def is_reference(text: str) -> bool:
    """Whether a text says where a secret lies, instead of being one."""
    return text.startswith(_KINDS)


def referenced_variable(reference: str) -> str | None:
    """The environment variable that a reference names, for a parent that hands it on; None: it names none."""
    kind, _, where = reference.partition(":")
    return where if kind == "env" else None


def referenced_file(reference: str, folder: Path) -> Path | None:
    """The file that a reference names; None: it names none."""
    kind, _, where = reference.partition(":")
    return folder / Path(where).expanduser() if kind == "file" else None


def read_secret(reference: str, folder: Path) -> SecretStr:
    """The secret, without white space around it. Read anew at each call.

    Raises:
        SettingsError: it cannot be had, is empty, or is no text of at most 100,000 bytes.
    """
    kind, _, where = reference.partition(":")
    match kind:
        case "env":
            text = os.environ.get(where, "")
            missing = f"the variable {where} is not set. Put the secret into it."
        case "file":
            text = _text_of(folder / Path(where).expanduser())
            missing = f"{where} is empty. Put the secret into it."
        case "command":
            text = _output_of(where)
            missing = f"the command {_program(where)} printed nothing. Run it by hand."
        case _:
            raise SettingsError("a secret is named as env:NAME, file:PATH or command:PROGRAM ARGUMENT. Correct it.")
    if not text.strip():
        raise SettingsError(missing)
    return SecretStr(text.strip())


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return _decoded(stream.read(MAX_BYTES + 1), str(file))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}. Check its path, owner and mode.") from error


def _output_of(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"the command of a secret has an open quotation ({error}). Correct it.") from error
    if not words:
        raise SettingsError("command: names no program. Correct it.")
    given = {name: os.environ[name] for name in _GIVEN_TO_COMMANDS if name in os.environ}
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, stdin=subprocess.DEVNULL, env=given, timeout=COMMAND_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        # Not chained: the exception holds what was printed so far.
        raise SettingsError(f"{words[0]} took longer than {COMMAND_TIMEOUT_S} s. Run it by hand.") from None
    except OSError as error:
        raise SettingsError(f"{words[0]} cannot be run: {error.strerror}. Check PATH and its mode.") from None
    if done.returncode != 0:
        raise SettingsError(f"{words[0]} ended with {done.returncode} instead of a secret. Run it by hand.")
    return _decoded(done.stdout, words[0])


def _decoded(raw: bytes, where: str) -> str:
    if len(raw) > MAX_BYTES:
        raise SettingsError(f"{where} gives more than {MAX_BYTES} bytes. Is it the right one?")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{where} gives no text. Is it the right one?") from None


def _program(command: str) -> str:
    return command.split(maxsplit=1)[0]


def _resolved(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not is_reference(text):
        return value
    try:
        return read_secret(text, Path.cwd())
    except SettingsError as error:
        raise ValueError(str(error).rstrip(".")) from None


Secret = Annotated[SecretStr, BeforeValidator(_resolved)]
"""A setting that is a secret: the secret itself, or a reference to it, which is followed when settings are read."""
