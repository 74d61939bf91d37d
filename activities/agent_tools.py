"""An agent's `tools.py`, imported: its tools, its postconditions, and the digests that prove which code they were."""

import dataclasses
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

from pydantic import BaseModel, JsonValue

import agents
from contracts.base import Digest, JsonObject
from contracts.canonical import digest, digest_bytes
from contracts.tool import Tool

__all__ = [
    "AGENTS_FOLDER",
    "ToolsImportError",
    "ToolsModule",
    "import_tools",
    "schema_digest",
    "source_digest",
    "tool_place",
    "unknown_labels",
]

AGENTS_FOLDER = Path(next(iter(agents.__path__))).resolve()
"""The folder of the `agents` package: where agents are looked for unless settings say otherwise."""


class ToolsImportError(Exception):
    """A `tools.py` cannot be imported; says where and why."""

    def __init__(self, message: str, *, file: Path, line: int) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


@dataclasses.dataclass(frozen=True)
class ToolsModule:
    """What `tools.py` defines."""

    tools: Mapping[str, Tool]
    """Tools by name, each with the digest of its source."""
    doubles: tuple[Tool, ...]
    """Tools whose name another tool of the module has already."""
    module: ModuleType


def import_tools(folder: Path) -> ToolsModule:
    """Import a folder's `tools.py`. Folders are reviewed, trusted code: importing one runs it.

    Raises:
        ToolsImportError: the file is missing, or fails while it is imported.
    """
    file = folder / "tools.py"
    if not file.is_file():
        raise ToolsImportError("tools.py is missing", file=file, line=1)
    try:
        module = _module(folder)
    except SyntaxError as error:
        raise ToolsImportError(
            f"not Python: {error.msg}", file=Path(error.filename or file), line=error.lineno or 1
        ) from None
    except (Exception, SystemExit) as error:
        place = _place_of(error, folder)
        raise ToolsImportError(f"{type(error).__name__}: {error}", file=place[0], line=place[1]) from error
    tools: dict[str, Tool] = {}
    doubles: list[Tool] = []
    for value in list(vars(module).values()):
        if not isinstance(value, Tool):
            continue
        found = dataclasses.replace(value, source=source_digest(tool_place(value)[0].parent))
        if found.name not in tools:
            tools[found.name] = found
        elif tools[found.name].function is not found.function:
            doubles.append(found)
    return ToolsModule(tools, tuple(doubles), module)


def source_digest(folder: Path) -> Digest:
    """Digest of all Python files of a folder: a tool may use what stands beside it."""
    files = sorted(path for path in folder.rglob("*.py") if path.is_file())
    return digest({path.relative_to(folder).as_posix(): digest_bytes(path.read_bytes()) for path in files})


def schema_digest(tool: Tool) -> Digest:
    """Digest of the JSON Schemas of arguments and output: an approval is void when they change."""
    return _schema_digest(tool.args_model, tool.output_model)


@lru_cache(maxsize=1_024)
def _schema_digest(arguments: type[BaseModel], output: type[BaseModel]) -> Digest:
    return digest(
        {"arguments": arguments.model_json_schema(), "output": output.model_json_schema(mode="serialization")}
    )


def unknown_labels(tool: Tool) -> list[str]:
    """Labels of fields that the output does not have: a misspelt one would leave the field trusted."""
    schema = cast("JsonObject", tool.output_model.model_json_schema(mode="serialization"))
    definitions = cast("JsonObject", schema.get("$defs", {}))
    return [path for path in tool.labels if not _leads(path.split("."), schema, definitions)]


def _leads(keys: Sequence[str], schema: JsonValue, definitions: JsonObject) -> bool:
    if not isinstance(schema, dict):
        return False
    if "$ref" in schema:
        return _leads(keys, definitions[str(schema["$ref"]).rsplit("/", 1)[-1]], definitions)
    options = schema.get("anyOf")
    if isinstance(options, list):
        return any(_leads(keys, option, definitions) for option in options)
    if "items" in schema:
        return _leads(keys, schema["items"], definitions)
    if not keys:
        return True
    fields = schema.get("properties")
    if isinstance(fields, dict):
        return keys[0] in fields and _leads(keys[1:], fields[keys[0]], definitions)
    # Free-form content has no fields that could be told.
    return schema.get("type", "object") == "object"


def tool_place(tool: Tool) -> tuple[Path, int]:
    """File and line of a tool's declaration."""
    code = tool.function.__code__
    return Path(code.co_filename), code.co_firstlineno


def _module(folder: Path) -> ModuleType:
    if folder.resolve().parent == AGENTS_FOLDER:
        return importlib.import_module(f"{agents.__name__}.{folder.name}.tools")
    # Folders elsewhere (tests, evals) get a package name of their own, by place and content: two never meet, and a
    # changed file is a new module.
    mark = hashlib.sha256(f"{folder.resolve()}\0{source_digest(folder)}".encode()).hexdigest()[:16]
    package_name = f"agent_folder_{mark}"
    if package_name not in sys.modules:
        package_spec = ModuleSpec(package_name, None, is_package=True)
        package_spec.submodule_search_locations = [str(folder)]
        sys.modules[package_name] = importlib.util.module_from_spec(package_spec)
    name = f"{package_name}.tools"
    if name in sys.modules:
        return sys.modules[name]
    file = folder / "tools.py"
    spec = importlib.util.spec_from_file_location(name, file, loader=_Uncached(name, str(file)))
    if spec is None or spec.loader is None:
        raise ToolsImportError("cannot be imported", file=file, line=1)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Uncached(SourceFileLoader):
    """Compiles from source each time: byte code is trusted by time and size, which two quick edits can share."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _place_of(error: BaseException, folder: Path) -> tuple[Path, int]:
    """The innermost line of the folder that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(folder.resolve())]
    return (Path(inside[-1].filename), inside[-1].lineno or 1) if inside else (folder / "tools.py", 1)
