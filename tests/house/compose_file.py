"""docker-compose.yml as Compose would read it: merged, with the defaults of its variables."""

import re
from functools import cache
from typing import cast

import yaml

from contracts.base import JsonObject
from tests.house.tree import HERE

OURS = ("worker", "intake", "web", "backoffice", "migrate", "namespace", "temporal")
"""Services that run from our image."""
ONCE = ("migrate", "namespace", "temporal-schema")
"""Services that do one thing and end."""

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+):-([^}]*)\})")


def _default(match: re.Match[str]) -> str:
    return "$" if match[1] is None else match[2]


@cache
def compose_file() -> JsonObject:
    """The whole file."""
    text = (HERE / "docker-compose.yml").read_text(encoding="utf-8")
    return cast("JsonObject", yaml.safe_load(_VARIABLE.sub(_default, text)))


def services() -> dict[str, JsonObject]:
    """Its services by name."""
    return cast("dict[str, JsonObject]", compose_file()["services"])


def command(service: str) -> list[str]:
    """The command line of a service."""
    return cast("list[str]", services()[service]["command"])


def environment(service: str) -> dict[str, str]:
    """The environment of a service."""
    found = cast("dict[str, str | None]", services()[service].get("environment", {}))
    return {name: value or "" for name, value in found.items()}


def secrets(service: str) -> set[str]:
    """The secrets of a service."""
    return set(cast("list[str]", services()[service].get("secrets", [])))
