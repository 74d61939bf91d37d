"""Cedar's schema, generated from the tools: typed arguments per action, tiers and effects as action groups."""

from collections.abc import Iterable
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.tool import Tier, Tool

__all__ = ["SchemaError", "cedar_arguments", "cedar_schema"]

_FIXED = """\
entity Tenant;
entity User in [Tenant] { name: String, tenant: String };
entity Agent in [Tenant] { name: String, owner: String, tenant: String };
"""
_CONTEXT = {
    "tenant": "String",
    "stage": "String",
    "enabled": "Bool",
    "halted": "Bool",
    "tier": "Long",
    "tier_ceiling": "Long",
    "granted": "Set<String>",
    "approvers": "Long",
    "completed": "Set<String>",
    "missing_steps": "Set<String>",
    "calls": "Long",
    "tool_calls_left": "Long",
    "amount_minor": "Long",
    "currency": "String",
    "money_minor": "Long",
    "repeated": "Bool",
    "tainted": "Bool",
    "customer_visible": "Bool",
    "reversible": "Bool",
    "run_age_s": "Long",
    "now_s": "Long",
    "on_behalf_of?": "String",
}
_SCALARS = {"string": "String", "integer": "Long", "boolean": "Bool"}


class SchemaError(ValueError):
    """A tool's arguments cannot be put before policy: the message names tool and field, and says what to do."""


def cedar_schema(tools: Iterable[Tool]) -> str:
    """The schema of every tool's action, as Cedar text, in a stable order.

    Raises:
        SchemaError: an argument has a type that Cedar has not, such as a float.
    """
    ordered = sorted(tools, key=lambda tool: tool.name)
    lines = [_FIXED]
    lines += [
        f"entity {name} in [Tenant] {{ tenant: String, key: String }};"
        for name in sorted({tool.resource_type for tool in ordered})
    ]
    groups = ["read", "write", *(f"tier{tier.value}" for tier in Tier)]
    lines.append("action " + ", ".join(f'"{group}"' for group in groups) + ";")
    lines += [_action(tool) for tool in ordered]
    return "\n".join(lines) + "\n"


def cedar_arguments(value: JsonObject) -> JsonObject:
    """Arguments as Cedar takes them: an absent value is left out, because Cedar has no null."""
    return {key: _without_null(item) for key, item in value.items() if item is not None}


def _without_null(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return cedar_arguments(value)
    if isinstance(value, list):
        return [_without_null(item) for item in value if item is not None]
    return value


def _action(tool: Tool) -> str:
    schema = cast("JsonObject", tool.args_model.model_json_schema())
    arguments = _record(tool, schema, cast("JsonObject", schema.get("$defs", {})), "args")
    names = cast("dict[str, object]", schema.get("properties", {}))
    provenance = "{ " + ", ".join(f'"{name}"?: String' for name in sorted(names)) + " }"
    fields = [f'"args": {arguments}', f'"provenance": {provenance}']
    fields += [f'"{name.rstrip("?")}"{"?" if name.endswith("?") else ""}: {kind}' for name, kind in _CONTEXT.items()]
    return (
        f'action "{tool.name}" in ["{tool.effect}", "tier{tool.tier.value}"] appliesTo {{\n'
        f"  principal: [Agent], resource: [{tool.resource_type}],\n"
        f"  context: {{ {', '.join(fields)} }}\n}};"
    )


def _record(tool: Tool, schema: JsonObject, definitions: JsonObject, where: str) -> str:
    properties = cast("dict[str, JsonObject]", schema.get("properties", {}))
    required = cast("list[str]", schema.get("required", []))
    fields: list[str] = []
    for name, inner in sorted(properties.items()):
        optional, kind = _type(tool, inner, definitions, f"{where}.{name}")
        # A field with a default is always present after validation; one that may be null may be left out.
        present = not optional and (name in required or "default" in inner)
        fields.append(f'"{name}"{"" if present else "?"}: {kind}')
    return "{ " + ", ".join(fields) + " }"


def _type(tool: Tool, schema: JsonObject, definitions: JsonObject, where: str) -> tuple[bool, str]:
    """Whether the value may be null, and its Cedar type."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return _type(tool, cast("JsonObject", definitions[name]), definitions, where)
    if "anyOf" in schema:
        options = cast("list[JsonObject]", schema["anyOf"])
        rest = [option for option in options if option.get("type") != "null"]
        if len(rest) == 1:
            inner = _type(tool, rest[0], definitions, where)[1]
            return len(rest) < len(options), inner
    kind = schema.get("type")
    if kind == "array" and isinstance(schema.get("items"), dict):
        return False, f"Set<{_type(tool, cast('JsonObject', schema['items']), definitions, where)[1]}>"
    if kind == "object" and "properties" in schema:
        return False, _record(tool, schema, definitions, where)
    if isinstance(kind, str) and kind in _SCALARS:
        return False, _SCALARS[kind]
    constant = schema.get("const", next(iter(cast("list[JsonValue]", schema.get("enum", []))), None))
    if isinstance(constant, str):
        return False, "String"
    msg = (
        f"{tool.name}: {where} has a type that policy cannot compare ({kind or 'a union'}); "
        "use str, int, bool, an enum of strings, a list or a model of these (money as integer minor units)"
    )
    raise SchemaError(msg)
