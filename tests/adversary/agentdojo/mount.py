"""Tools of a suite as tools of ours: arguments and outputs typed from upstream's schemas, declared as ours are."""

import types
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, create_model
from pydantic_core import PydanticUndefined

from contracts.base import JsonObject
from contracts.canonical import digest
from contracts.tool import Effect, Label, Rejected, Tier, Tool, ToolContext, tool
from tests.adversary.agentdojo.upstream import Call, Environment, Suite, load_suite

__all__ = ["Amount", "World", "arguments_of", "mounted", "output_of", "suite_named", "tool_name", "world"]

Amount = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$")]
"""Upstream's floats, as decimals in text: policy compares no floats."""


class World:
    """The one world in which mounted tools run when a whole run calls them."""

    suite: Suite
    environment: Environment
    trace: list[Call]
    """What ran, as upstream's calls."""
    _planned: list[Call]

    def enter(self, suite: Suite, environment: Environment, planned: Sequence[Call]) -> None:
        """Begin a run. `planned` are the calls that its model will propose."""
        self.suite, self.environment = suite, environment
        self.trace, self._planned = [], list(planned)

    def run(self, function: str, arguments: JsonObject) -> object:
        """Run a call of the plan.

        Raises:
            Rejected: the suite's tool refuses it, or no call of the plan is like this.
        """
        for call in self._planned:
            planned = arguments_of(self.suite.name, function, call.args) if call.function == function else None
            # What the plan leaves out has upstream's default, the same as ours.
            if planned is not None and all(arguments[name] == value for name, value in planned.items()):
                self._planned.remove(call)
                self.trace.append(call)
                result, _, error = self.suite.run(self.environment, function, call.args)
                if error:
                    raise Rejected(error[:300], code="refused_by_suite")
                return result
        raise Rejected("the plan has no such call", code="not_planned")


world = World()


@cache
def suite_named(name: str) -> Suite:
    """A suite, loaded once."""
    return load_suite(name)


def tool_name(suite: str, function: str) -> str:
    """Our name of a tool."""
    return f"{suite}.{function}"


def mounted(
    suite: str,
    function: str,
    *,
    tier: Tier,
    resource: tuple[str, Callable[[Any], str]],
    labels: Mapping[str, Label] | None = None,
    free_text: tuple[str, ...] = (),
    requested_by: tuple[str, ...] = (),
    compensation: str = "",
) -> Tool:
    """Declare a tool of a suite. A write's deed is its arguments: the same ones twice are the same deed."""
    upstream = suite_named(suite).tools[function]
    arguments, output = _arguments_model(upstream.parameters), _output_model(upstream.return_type)

    async def run(args: BaseModel, ctx: ToolContext) -> BaseModel:
        return output.model_validate(output_of(world.run(function, args.model_dump(mode="json"))))

    run.__annotations__.update(args=arguments, **{"return": output})
    run.__doc__ = " ".join(upstream.full_docstring.split("\n\n", 1)[0].split())
    write = tier is not Tier.READ_ONLY
    declare = tool(
        name=tool_name(suite, function),
        version=1,
        tier=tier,
        effect=Effect.WRITE if write else Effect.READ,
        owner="agentdojo",
        resource=resource,
        natural_key=(lambda args: digest(args.model_dump(mode="json"))) if write else (lambda _args: ""),
        labels=labels,
        free_text=free_text,
        requested_by=requested_by,
        compensation=compensation,
    )
    return declare(run)


def arguments_of(suite: str, function: str, args: Mapping[str, Any]) -> JsonObject:
    """Upstream's arguments as ours; what is absent stays absent."""
    fields = suite_named(suite).tools[function].parameters.model_fields
    decimals = {name for name, field in fields.items() if float in (field.annotation, *get_args(field.annotation))}
    given = {name: value for name, value in args.items() if value is not None}
    return {name: _plain(float(value) if name in decimals else value) for name, value in given.items()}


def output_of(result: object) -> JsonObject:
    """A result as an object with typed fields: lists under `items`, texts and numbers under `value`."""
    plain = _plain(result)
    if isinstance(plain, dict):
        return {"fields": [{"name": name, "value": value} for name, value in plain.items()]}
    return {"items": plain} if isinstance(plain, list) else {"value": plain}


def _plain(value: object) -> JsonValue:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in cast("dict[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[object]", value)]
    if isinstance(value, float):
        return format(Decimal(str(value)).normalize(), "f")
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def _arguments_model(parameters: type[BaseModel]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, field in parameters.model_fields.items():
        default = ... if field.default is PydanticUndefined else field.default
        fields[name] = (_type(field.annotation), default)
    return create_model(f"{parameters.__name__}Args", __config__=_STRICT, **fields)


def _output_model(kind: object) -> type[BaseModel]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list and isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
        fields = {name: (_type(field.annotation), ...) for name, field in inner[0].model_fields.items()}
        row = create_model(f"{inner[0].__name__}Record", __config__=_STRICT, **cast("dict[str, Any]", fields))
        return create_model("Items", __config__=_STRICT, items=(_list_of(row), ...))
    if origin is list:
        return create_model("Items", __config__=_STRICT, items=(list[str], ...))
    if origin is dict:
        pair = create_model("Named", __config__=_STRICT, name=(str, ...), value=(str, ...))
        return create_model("Fields", __config__=_STRICT, fields=(_list_of(pair), ...))
    return create_model("Value", __config__=_STRICT, value=(str | None, None))


def _list_of(kind: type[BaseModel]) -> Any:  # noqa: ANN401 - an annotation is any object
    return types.GenericAlias(list, (kind,))


def _type(kind: Any) -> Any:  # noqa: ANN401 - an annotation is any object
    if get_origin(kind) in (Union, types.UnionType):
        rest = [_type(inner) for inner in get_args(kind) if inner is not type(None)]
        return rest[0] | None if len(rest) == 1 else kind
    return Amount if kind is float else kind


_STRICT = ConfigDict(extra="forbid", frozen=True)
