"""Where settings come from besides `COUNTERSIGN_*` variables."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource
from typing_extensions import override

from settings.errors import SettingsError

__all__ = ["ENV_PREFIX", "ROOT", "STANDARD_NAMES", "env_file", "file_values", "sources", "stack_values"]

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

_ENV_FILE = ENV_PREFIX + "ENV_FILE"
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


def stack_values(state_dir: Path) -> dict[str, object]:
    """The settings that a running embedded stack wrote: where its servers listen. Empty when none runs."""
    file = state_dir / "stack.json"
    try:
        with file.open("rb") as stream:
            text = stream.read(_STACK_FILE_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}. Run as the user that started it.") from error
    try:
        found = cast("dict[str, object]", json.loads(text))["settings"]
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
    """What `countersign up` wrote in the state folder that the stronger sources name."""

    @override
    def __call__(self) -> dict[str, object]:
        default = self.settings_cls.model_fields["state_dir"].default
        state_dir = Path(str(self.current_state.get("state_dir", default))).expanduser()
        return stack_values(state_dir)


def standard_values(variables: Mapping[str, str]) -> dict[str, object]:
    """The settings that stand in the variables under a standard name."""
    return {field: variables[name] for field, name in STANDARD_NAMES.items() if variables.get(name)}


def sources(
    settings_cls: type[BaseSettings], environment: PydanticBaseSettingsSource
) -> tuple[PydanticBaseSettingsSource, ...]:
    """All sources, strongest first."""
    return (
        environment,
        _Values(settings_cls, standard_values(os.environ)),
        # The file may hold variables of other programs: only ours are taken, `unknown_variables` reports misspelt ones.
        DotEnvSettingsSource(settings_cls, env_file=env_file(), dotenv_filtering="only_existing"),
        _Values(settings_cls, standard_values(file_values())),
        _StackFile(settings_cls, {}),
    )
