"""Keys and secrets of the embedded stack: made once, each in a file that only its owner can read."""

import base64
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from settings import Settings, SettingsError
from settings.signing_keys import SigningKeys, key_set_text, new_key, public_set
from workers.embedded.errors import StackError

__all__ = ["make_keys"]

_SECRET_BYTES = 32


def make_keys(settings: Settings, endpoints: Iterable[str], say: Callable[[str], None]) -> None:
    """Make every key and secret that is absent; what is there stays. `endpoints` get a signing secret each."""
    made = [
        None if settings.vote_key else _once(settings.vote_key_file, _private_key),
        None if settings.credential_key else _once(settings.credential_key_file, _private_key),
        _once(settings.session_secret_file, _token),
        _once(settings.backoffice_admin_token_file, _token),
        _add_endpoint_secrets(settings.endpoint_secrets_file, endpoints),
    ]
    # Follows from the private keys: written anew at each start, so that it fits after a change of them.
    _write(settings.credential_public_keys_file, _public_keys(settings))
    names = [file.name for file in made if file is not None]
    if names:
        say(f"made {', '.join(names)} in {settings.vote_key_file.parent}")


def _private_key() -> str:
    return key_set_text((new_key(),))


def _token() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def _public_keys(settings: Settings) -> str:
    try:
        keys = SigningKeys(settings.credential_key_reference, settings.state_dir, purpose="credential")
    except SettingsError as error:
        raise StackError(str(error)) from error
    now_s = time.time()
    return public_set(keys.published(now_s), now_s)


def _add_endpoint_secrets(file: Path, endpoints: Iterable[str]) -> Path | None:
    found: dict[str, list[str]] = {}
    if file.exists():
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise StackError(f"{file} cannot be read. Correct it, or remove it to get new secrets.") from error
    absent = [name for name in endpoints if name not in found]
    if not absent:
        return None
    for name in absent:
        key = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        found[name] = [f"whsec_{key}"]
    _write(file, json.dumps(found, indent=1))
    return file


def _once(file: Path, make: Callable[[], str]) -> Path | None:
    if file.exists():
        return None
    _write(file, make())
    return file


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    # Never readable by others, not even before a chmod.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
