"""What a child process may inherit: a few variables of the system, and the settings that it needs, by name."""

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from settings.model import Settings
from settings.sources import ENV_PREFIX

__all__ = ["SECRETS", "child_environment", "plain_names"]

_INHERITED = {
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "PYTHONPATH",
    "PYTHONWARNINGS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
}
_INHERITED_PREFIXES = ("LC_", "OTEL_")

SECRETS = frozenset(
    {
        "database_url",
        "migration_database_url",
        "temporal_api_key",
        "temporal_tls_key_file",
        "vote_key_file",
        "vote_key",
        "credential_key_file",
        "credential_key",
        "endpoint_secrets_file",
        "session_secret_file",
        "backoffice_admin_token_file",
        "openai_api_key",
        "anthropic_api_key",
        "password",
    }
)
"""Settings that are secrets, or say where one lies: each goes only to the processes that need it."""


def plain_names() -> tuple[str, ...]:
    """The settings that any process of ours may see."""
    return tuple(name for name in Settings.model_fields if name not in SECRETS)


def child_environment(settings: Settings, names: Iterable[str], variables: Collection[str] = ()) -> dict[str, str]:
    """The whole environment of a child: what the system needs, the named settings that have a value, the variables."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in variables or name.upper() in _INHERITED or name.upper().startswith(_INHERITED_PREFIXES)
    }
    # The child must not read for itself what was not given to it.
    given = {ENV_PREFIX + "ENV_FILE": os.devnull}
    for name in names:
        value: object = getattr(settings, name)
        if value is not None:
            given[ENV_PREFIX + name.upper()] = _text(value)
    return {**inherited, **given}


def _text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case str() | int() | Path():
            return str(value)
        case _:
            return json.dumps(to_jsonable_python(value))
