"""Cedar's schema, generated from the tools: typed arguments per action, tiers and effects as action groups."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from pydantic import BaseModel, JsonValue

from contracts.base import JsonObject
from contracts.tool import Tier, Tool

__all__ = ["SchemaError", "cedar_arguments", "cedar_schema"]

_FIXED = """\
entity Tenant;
entity User in [Tenant] {
  name: String, tenant: String, enabled: Bool, groups: Set<String>, roles: Set<String>
};
entity Agent in [Tenant] {
  name: String, owner: String, tenant: String, enabled: Bool, tier_ceiling: Long
};
entity Run in [Tenant] { tenant: String, agent: Agent, opened_s: Long, age_limit_s: Long };
"""
_CONTEXT = {
    "tenant": "String",
    "agent": "String",
    "run": "Run",
    "stage": "String",
    "halted": "Bool",
    "tier": "Long",
    "tier_because": "Set<String>",
    "granted": "Set<String>",
    "approvers": "Long",
    "grant_kind": "String",
    "checked": "Set<String>",
    "break_glass": "Set<String>",
    "outgoing": "Set<String>",
    "outgoing_action": "String",
    "completed": "Set<String>",
    "missing_steps": "Set<String>",
    "forbidden_after": "Set<String>",
    "calls": "Long",
    "calls_today": "Long",
    "money_today_minor": "Long",
    "tool_calls_left": "Long",
    "amount_minor": "Long",
    "currency": "String",
    "money_minor": "Long",
    "repeated": "Bool",
    "tainted": "Bool",
    "tainted_arguments": "Set<String>",
    "unproven": "Set<String>",
    "intended": "Set<String>",
    "requested": "Bool",
    "requested_all": "Bool",
    "spent": "Set<String>",
    "customer_visible": "Bool",
    "reversible": "Bool",
    "run_age_s": "Long",
    "now_s": "Long",
    "data_class": "String",
    "on_behalf_of?": "User",
}
_SCALARS = {"string": "String", "integer": "Long", "boolean": "Bool"}
_TAKEN = frozenset(
    {"Tenant", "User", "Agent", "Run", "Action", "String", "Long", "Bool", "Boolean", "Set", "Record", "Entity"}
)
"""Names that a tool's resource cannot have: Cedar's own, and those of the entities above."""


class SchemaError(ValueError):
    """A tool's arguments cannot be put before policy: the message names tool and field, and says what to do."""


def cedar_schema(tools: Iterable[Tool]) -> str:
    """The schema of every tool's action, as Cedar text, in a stable order. A tool that comes twice counts once.

    Raises:
        SchemaError: an argument has a type that Cedar has not, such as a float; or two tools share a name.
    """
    by_name: dict[str, Tool] = {}
    for tool in tools:
        if tool.resource_type in _TAKEN:
            msg = f"{tool.name}: the resource type {tool.resource_type} is taken; name another, such as Order"
            raise SchemaError(msg)
        # One folder may import another's tool: that is the same function. Policy knows a tool by its name alone.
        if _json_schema(by_name.setdefault(tool.name, tool).args_model) != _json_schema(tool.args_model):
            msg = f"{tool.name}: two tools with different arguments have this name; rename one"
            raise SchemaError(msg)
    ordered = [by_name[name] for name in sorted(by_name)]
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


@lru_cache(maxsize=1_024)
def _json_schema(model: type[BaseModel]) -> JsonObject:
    return cast("JsonObject", model.model_json_schema())


def _action(tool: Tool) -> str:
    schema = _json_schema(tool.args_model)
    arguments = _Arguments(tool, cast("JsonObject", schema.get("$defs", {}))).record(schema, "args", ())
    names = cast("dict[str, object]", schema.get("properties", {}))
    provenance = "{ " + ", ".join(f"{_quoted(name)}?: String" for name in sorted(names)) + " }"
    fields = [f'"args": {arguments}', f'"provenance": {provenance}']
    fields += [f'"{name.rstrip("?")}"{"?" if name.endswith("?") else ""}: {kind}' for name, kind in _CONTEXT.items()]
    return (
        f'action "{tool.name}" in ["{tool.effect}", "tier{tool.tier.value}"] appliesTo {{\n'
        f"  principal: [Agent, User], resource: [{tool.resource_type}],\n"
        f"  context: {{ {', '.join(fields)} }}\n}};"
    )


class _Arguments:
    """Cedar types of one tool's arguments, from their JSON schema."""

    def __init__(self, tool: Tool, definitions: JsonObject) -> None:
        self._tool = tool
        self._definitions = definitions

    def record(self, schema: JsonObject, where: str, inside: tuple[str, ...]) -> str:
        """A model as a record type. `inside` names the models around it."""
        if schema.get("additionalProperties"):
            raise self._refusal(where, "fields with free names")
        properties = cast("dict[str, JsonObject]", schema.get("properties", {}))
        required = cast("list[str]", schema.get("required", []))
        fields: list[str] = []
        for name, inner in sorted(properties.items()):
            optional, kind = self._type(inner, f"{where}.{name}", inside)
            # A field with a default is always present after validation; one that may be null may be left out.
            present = not optional and (name in required or "default" in inner)
            fields.append(f"{_quoted(name)}{'' if present else '?'}: {kind}")
        return "{ " + ", ".join(fields) + " }"

    def _type(self, schema: JsonObject, where: str, inside: tuple[str, ...]) -> tuple[bool, str]:
        """Whether the value may be null, and its Cedar type."""
        if "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            if name in inside:
                raise self._refusal(where, "a model that holds itself")
            return self._type(cast("JsonObject", self._definitions[name]), where, (*inside, name))
        if "anyOf" in schema:
            options = cast("list[JsonObject]", schema["anyOf"])
            rest = [option for option in options if option.get("type") != "null"]
            if len(rest) == 1:
                optional, inner = self._type(rest[0], where, inside)
                return optional or len(rest) < len(options), inner
        kind = schema.get("type")
        if kind == "array" and isinstance(schema.get("items"), dict):
            return False, f"Set<{self._type(cast('JsonObject', schema['items']), where, inside)[1]}>"
        if kind == "object" and "properties" in schema:
            return False, self.record(schema, where, inside)
        if isinstance(kind, str) and kind in _SCALARS:
            return False, _SCALARS[kind]
        raise self._refusal(where, str(kind) if kind else "a union")

    def _refusal(self, where: str, found: str) -> SchemaError:
        msg = (
            f"{self._tool.name}: {where} has a type that policy cannot compare ({found}); "
            "use str, int, bool, an enum of strings, a list or a model of these (money as integer minor units)"
        )
        return SchemaError(msg)


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
