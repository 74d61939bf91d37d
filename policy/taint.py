"""Which arguments of a write an outsider may have chosen. Pure.

A run that has read untrusted content is tainted, and its model may do what that content says. What then counts is
where the write lands: an argument that can hold any text (an identifier, an address, an account) and whose value
stands in no trusted record and in no trusted field of the event. An argument with a fixed set of values, a yes or no,
or a number carries no address; policies bound those by their own conditions. Prose that a tool declares as
`free_text` is looked at by the output rules.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from pydantic import BaseModel

from contracts.base import JsonObject
from contracts.tool import Effect, Tool
from policy.provenance import Trace, unproven

__all__ = ["open_arguments", "tainted_arguments"]


def tainted_arguments(tool: Tool, traces: Mapping[str, Trace], *, tainted: bool) -> tuple[str, ...]:
    """Arguments of a write that untrusted content may have chosen; none of a run that has read none."""
    if not tainted or tool.effect is not Effect.WRITE:
        return ()
    free = open_arguments(tool.args_model)
    return tuple(name for name in unproven(tool, traces) if name in free)


@lru_cache(maxsize=1_024)
def open_arguments(model: type[BaseModel]) -> frozenset[str]:
    """Arguments that can hold a text of the caller's choice, at whatever depth."""
    schema = cast("JsonObject", model.model_json_schema())
    definitions = cast("JsonObject", schema.get("$defs", {}))
    fields = cast("dict[str, object]", schema.get("properties", {}))
    return frozenset(name for name, inner in fields.items() if _open(inner, definitions, ()))


def _open(schema: object, definitions: JsonObject, inside: tuple[str, ...]) -> bool:
    if isinstance(schema, list):
        return any(_open(item, definitions, inside) for item in cast("list[object]", schema))
    if not isinstance(schema, dict):
        return False
    found = cast("JsonObject", schema)
    if "enum" in found or "const" in found:
        return False
    if "$ref" in found:
        name = str(found["$ref"]).rsplit("/", 1)[-1]
        return name not in inside and _open(definitions[name], definitions, (*inside, name))
    if found.get("type") == "string":
        return True
    parts = [found.get(key) for key in ("anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties")]
    properties = found.get("properties")
    if isinstance(properties, dict):
        parts += list(properties.values())
    return any(_open(part, definitions, inside) for part in parts)
