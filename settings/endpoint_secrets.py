"""Signing secrets of the event endpoints, found by reference. No message shows one."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from settings.endpoints import Endpoint
from settings.errors import SettingsError
from settings.secret_references import read_secret

__all__ = ["EndpointSecrets", "read_endpoint_secrets"]

_PREFIX = "whsec_"
_MIN_BYTES = 24
_MAX_BYTES = 512
_MAX_FILE_BYTES = 100_000
_MAX_SECRETS = 5


class EndpointSecrets:
    """The secrets of every endpoint. Not a model, so that no dump or repr can show them."""

    def __init__(self, secrets: Mapping[str, tuple[str, ...]]) -> None:
        self._secrets = dict(secrets)

    def of(self, endpoint: str) -> tuple[str, ...]:
        """Secrets with which a delivery may be signed, the newest first."""
        return self._secrets[endpoint]


def read_endpoint_secrets(endpoints: Mapping[str, Endpoint], secrets_file: Path, state_dir: Path) -> EndpointSecrets:
    """Find the secrets of all endpoints.

    Raises:
        SettingsError: one is missing, unreadable or too weak.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, endpoint in endpoints.items():
        if endpoint.secrets:
            secrets = tuple(s for reference in endpoint.secrets for s in _referenced(name, reference, state_dir))
        else:
            secrets = _of_file(name, secrets_file)
        if not 1 <= len(secrets) <= _MAX_SECRETS:
            raise SettingsError(f"endpoint {name}: {len(secrets)} signing secrets found. Give it 1 to {_MAX_SECRETS}.")
        for secret in secrets:
            _check(name, secret)
        found[name] = secrets
    return EndpointSecrets(found)


def _referenced(name: str, reference: str, state_dir: Path) -> tuple[str, ...]:
    try:
        return tuple(read_secret(reference, state_dir).get_secret_value().split())
    except SettingsError as error:
        raise SettingsError(f"endpoint {name}: {error}") from error


def _of_file(name: str, secrets_file: Path) -> tuple[str, ...]:
    try:
        entries = cast("object", json.loads(_text(name, secrets_file)))
    except ValueError as error:
        raise SettingsError(
            f"{secrets_file} is not JSON. Correct it, or remove it and run `countersign up`."
        ) from error
    listed: object = cast("dict[str, object]", entries).get(name) if isinstance(entries, dict) else None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in cast("list[object]", listed)):
        raise SettingsError(
            f"{secrets_file} has no list of secrets for endpoint {name}. Add one, or run `countersign up`."
        )
    return tuple(cast("list[str]", listed))


def _text(name: str, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_FILE_BYTES).decode("ascii")
    except OSError as error:
        raise SettingsError(
            f"endpoint {name}: its signing secrets in {file} cannot be read: {error.strerror}. "
            "Run `countersign up`, or create the file."
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"endpoint {name}: {file} holds more than ASCII text. Is it the right file?") from error


def _check(name: str, secret: str) -> None:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX) + "==")
    except ValueError:
        key = b""
    if not secret.startswith(_PREFIX) or not _MIN_BYTES <= len(key) <= _MAX_BYTES:
        raise SettingsError(
            f"endpoint {name}: a signing secret is not `{_PREFIX}` and at least {_MIN_BYTES} bytes in base64. "
            "Make one with `openssl rand -base64 32`."
        )
