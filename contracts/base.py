"""The base of every model that crosses a boundary, and the identifiers that they share."""

import ast
import inspect
import textwrap
from collections import ChainMap
from functools import lru_cache
from itertools import pairwise
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "AgentName",
    "Digest",
    "GroupName",
    "JsonObject",
    "Micros",
    "Record",
    "RunId",
    "TenantId",
    "ToolName",
    "UserName",
    "is_empty",
    "is_none",
]

TenantId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^run-[a-z2-7]{26}$")]
GroupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Micros = Annotated[int, Field(ge=0, le=2**53 - 1)]


class _KnownToBeJson:
    """Validates an object's keys and looks no deeper: what is in it came out of a JSON parser or a model's dump.

    Pydantic asks a Python function for the type of every value inside a `JsonValue`; that was a tenth of a step.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())


JsonObject = Annotated[dict[str, JsonValue], _KnownToBeJson]


def is_empty(value: object) -> bool:
    """For `exclude_if`: what is empty is not written. Numbers for which zero says something must not use it."""
    return not value


def is_none(value: object) -> bool:
    """For `exclude_if`: what there is not is not written."""
    return value is None


class Record(BaseModel):
    """A value that crosses a boundary: frozen, without unknown fields, described by the docstring under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The docstring under each field is its description.

        Read when a schema is made: pydantic's `use_attribute_docstrings` reads them at import, a fifth of each start.
        """
        made = handler(schema)
        properties: dict[str, JsonSchemaValue] = handler.resolve_ref_schema(made).get("properties", {})
        docstrings = ChainMap(*(_docstrings(ancestor) for ancestor in cls.__mro__ if issubclass(ancestor, Record)))
        for name, field in cls.model_fields.items():
            shown = properties.get(field.alias or name)
            if shown is not None and name in docstrings:
                shown.setdefault("description", docstrings[name])
        return made


@lru_cache(maxsize=1_024)
def _docstrings(model: type[Record]) -> dict[str, str]:
    """What stands under the fields of a class itself, not of its ancestors."""
    try:
        (written,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except (OSError, SyntaxError):
        return {}  # made without source, as by `create_model`
    statements = written.body if isinstance(written, ast.ClassDef) else []
    return {
        field.id: inspect.cleandoc(text)
        for field, under in (
            (before.target, after.value)
            for before, after in pairwise(statements)
            if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr)
        )
        if isinstance(field, ast.Name) and isinstance(under, ast.Constant) and isinstance(text := under.value, str)
    }
