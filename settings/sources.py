"""Where settings come from besides `COUNTERSIGN_*` variables."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource
from typing_extensions import override

from settings.errors import SettingsError

__all__ = [
    "ENV_PREFIX",
    "ROOT",
    "SECRET_NAMES",
    "STANDARD_NAMES",
    "env_file",
    "file_values",
    "ports_in_use",
    "secret_values",
    "sources",
    "stack_values",
]

ENV_PREFIX = "COUNTERSIGN_"
ROOT = Path(__file__).resolve().parent.parent
"""The clone."""
STANDARD_NAMES: Mapping[str, str] = {
    "database_url": "DATABASE_URL",
    "openai_api_key": "OPENAI_API_KEY",
    "openai_base_url": "OPENAI_BASE_URL",
    "anthropic_api_key": "ANTHROPIC_API_KEY",
}
"""Settings that are also accepted under the name by which the rest of the world knows them."""

SECRET_NAMES = (
    "database_url",
    "migration_database_url",
    "temporal_api_key",
    "openai_api_key",
    "anthropic_api_key",
)
"""Settings that are secret themselves, and so may stand in a file each: see `secret_values`."""

_ENV_FILE = ENV_PREFIX + "ENV_FILE"
_SECRETS_DIR = ENV_PREFIX + "SECRETS_DIR"
_SECRET_MAX_BYTES = 16_384
_STACK_FILE_MAX_BYTES = 1_000_000


def env_file() -> Path:
    """The `.env` file: of the clone, unless COUNTERSIGN_ENV_FILE names another."""
    return Path(os.environ.get(_ENV_FILE) or ROOT / ".env")


def file_values() -> dict[str, str]:
    """What the `.env` file says; empty when there is none."""
    file = env_file()
    if not file.is_file():
        return {}
    return {name: value for name, value in dotenv_values(file).items() if value}


def secret_values() -> dict[str, object]:
    """The secrets in the folder that COUNTERSIGN_SECRETS_DIR names, as container engines mount them.

    Each stands in a file that is named as its variable, in lower case. An empty file counts as unset.
    """
    folder = os.environ.get(_SECRETS_DIR)
    found: dict[str, object] = {}
    for name in SECRET_NAMES if folder else ():
        file = Path(folder or "") / (ENV_PREFIX + name).lower()
        try:
            with file.open("rb") as stream:
                text = stream.read(_SECRET_MAX_BYTES).decode().strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} cannot be read as text. Check its owner and mode.") from error
        if text:
            found[name] = text
    return found


def stack_values(state_dir: Path) -> dict[str, object]:
    """The settings that a running embedded stack wrote: where its servers listen. Empty when none runs."""
    return _stack_section(state_dir, "settings")


def ports_in_use(state_dir: Path) -> dict[str, object]:
    """The ports on which a running embedded stack listens, which need not be the ones that were asked for."""
    return _stack_section(state_dir, "ports")


def _stack_section(state_dir: Path, section: str) -> dict[str, object]:
    file = state_dir / "stack.json"
    try:
        with file.open("rb") as stream:
            text = stream.read(_STACK_FILE_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}. Run as the user that started it.") from error
    try:
        found = cast("dict[str, object]", json.loads(text))[section]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{file} is damaged. Remove it and start the stack with `countersign up`.") from error
    return cast("dict[str, object]", found)


class _Values(PydanticBaseSettingsSource):
    """A source whose values are at hand."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, object]) -> None:
        super().__init__(settings_cls)
        self._values = values

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        return self._values.get(field_name), field_name, False

    @override
    def __call__(self) -> dict[str, object]:
        return dict(self._values)


class _StackFile(_Values):
    """A part of what `countersign up` wrote in the state folder."""

    def __init__(self, settings_cls: type[BaseSettings], read: Callable[[Path], dict[str, object]]) -> None:
        super().__init__(settings_cls, {})
        self._read = read

    @override
    def __call__(self) -> dict[str, object]:
        return self._read(self._state_dir())

    def _state_dir(self) -> Path:
        name = ENV_PREFIX + "STATE_DIR"
        default: object = self.settings_cls.model_fields["state_dir"].default
        given: object = self.current_state.get("state_dir")
        return Path(str(given or os.environ.get(name) or file_values().get(name) or default)).expanduser()


def standard_values(variables: Mapping[str, str]) -> dict[str, object]:
    """The settings that stand in the variables under a standard name."""
    return {field: variables[name] for field, name in STANDARD_NAMES.items() if variables.get(name)}


def sources(
    settings_cls: type[BaseSettings], environment: PydanticBaseSettingsSource
) -> tuple[PydanticBaseSettingsSource, ...]:
    """All sources, strongest first."""
    return (
        # A taken port was replaced by the next free one. Where our processes listen is a fact, not a wish: it holds
        # against the environment too, else a command would ask at the port of whoever took it.
        _StackFile(settings_cls, ports_in_use),
        environment,
        _Values(settings_cls, standard_values(os.environ)),
        _Values(settings_cls, secret_values()),
        # The file may hold variables of other programs: only ours are taken, `unknown_variables` reports misspelt ones.
        DotEnvSettingsSource(settings_cls, env_file=env_file(), dotenv_filtering="only_existing"),
        _Values(settings_cls, standard_values(file_values())),
        _StackFile(settings_cls, stack_values),
    )
