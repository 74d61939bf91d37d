"""Every setting with its meaning, its value and where that came from: what `countersign config` prints."""

import os
import re
from typing import cast

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_core import PydanticUndefined

from settings.model import Settings
from settings.services import ServiceEntry
from settings.sources import ENV_PREFIX, STANDARD_NAMES, file_values, ports_in_use, secret_values, stack_values

__all__ = ["SettingDescription", "describe", "shown", "unknown_variables"]

_NOT_SETTINGS = {"ENV_FILE", "REQUIRE_PEERS", "SECRETS_DIR"}
_PASSWORD = re.compile(r"://([^:/@\s]*):[^@\s]+@")


class SettingDescription(BaseModel):
    """One setting, for people and machines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Field of `Settings`."""
    variables: tuple[str, ...]
    """Environment variables that set it, strongest first."""
    type: str
    """Type, in Python's notation."""
    default: str
    """Default, as text; `derived` when it follows from other settings."""
    value: str
    """Current value, as text; secrets are masked."""
    source: str
    """Where the value came from: a variable, `.env`, `stack.json` or `default`."""
    meaning: str
    """What it decides."""


def shown(value: object) -> str:
    """A value as text, without what must not be read over a shoulder."""
    match value:
        case None:
            return ""
        case SecretStr():
            text = value.get_secret_value()
            return _PASSWORD.sub(r"://\1:***@", text) if "://" in text else "***"
        case bool():
            return str(value).lower()
        case dict():
            return ", ".join(f"{key}={shown(item)}" for key, item in cast("dict[str, object]", value).items())
        case ServiceEntry():
            return value.url if value.credentials.kind == "own" else f"{value.url} ({value.credentials.kind})"
        case _:
            return _PASSWORD.sub(r"://\1:***@", str(value))


def describe(settings: Settings) -> tuple[SettingDescription, ...]:
    """Every setting, in the order in which they are declared."""
    in_file = {name.upper() for name in file_values()}
    in_environment = {name.upper() for name, value in os.environ.items() if value}
    in_folder = {(ENV_PREFIX + name).upper() for name in secret_values()}
    in_stack = stack_values(settings.state_dir)
    ports = ports_in_use(settings.state_dir)
    found: list[SettingDescription] = []
    for name, field in Settings.model_fields.items():
        standard = (STANDARD_NAMES[name],) if name in STANDARD_NAMES else ()
        variables = (ENV_PREFIX + name.upper(), *standard)
        source = "default"
        if name in in_stack:
            source = "stack.json"
        for places, where in ((in_file, ".env"), (in_folder, "secrets folder"), (in_environment, "environment")):
            source = next((f"{where} {variable}" for variable in variables if variable in places), source)
        if name in ports:
            source = "stack.json"
        default: object = field.default
        found.append(
            SettingDescription(
                name=name,
                variables=variables,
                type=_type_name(field.annotation),
                default="derived" if default is PydanticUndefined else shown(default),
                value=shown(getattr(settings, name)),
                source=source,
                meaning=" ".join((field.description or "").split()),
            )
        )
    return tuple(found)


def unknown_variables() -> tuple[str, ...]:
    """Variables that look like settings but are none: most likely misspelt."""
    known = {name.upper() for name in Settings.model_fields} | _NOT_SETTINGS
    names = {name.upper() for name in (*os.environ, *file_values()) if name.upper().startswith(ENV_PREFIX)}
    return tuple(sorted(name for name in names if name.removeprefix(ENV_PREFIX) not in known))


def _type_name(annotation: object) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    for pattern, plain in (
        (r"typing\.Annotated\[([^,\[\]]+)(?:,[^\[\]]*(?:\[[^\]]*\][^\[\]]*)*)\]", r"\1"),
        (r"<class '([^']+)'>", r"\1"),
        (r"(?:\w+\.)+(\w+)", r"\1"),
        (r"SecretStr", "secret"),
        (r"\bPath\b", "path"),
        (r"Optional\[(.*)\]$", r"\1 or none"),
        (r" \| None$", " or none"),
        (r"Literal\[(.*)\]$", r"\1"),
    ):
        text = re.sub(pattern, plain, text)
    return text
