"""`agent.yaml` with its line numbers: the definition where it is valid, every mistake with its line where it is not."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from contracts.agent import AgentFile

__all__ = ["AgentYaml", "Lines", "Report", "YamlMistake", "parse_agent_yaml", "read_yaml"]

MAX_BYTES = 64_000
Path = tuple[str | int, ...]
Report = Callable[[int, str, str, str], None]
"""Takes line, rule, message and advice of a mistake."""


@dataclass(frozen=True)
class Lines:
    """Where each key and list item of a YAML file stands."""

    by_path: Mapping[Path, int] = field(default_factory=dict[Path, int])

    def line(self, *path: str | int) -> int:
        """Line of a key or item, or of the nearest one above it that exists."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.by_path:
                return self.by_path[path[:length]]
        return 1


class YamlMistake(ValueError):  # noqa: N818 - it is one, not a fault of the program
    """A text that is not YAML."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class AgentYaml:
    """A parsed file."""

    file: AgentFile | None
    """None where the file is not valid."""
    lines: Lines = field(default_factory=Lines)

    def line(self, *path: str | int) -> int:
        """Line of a key or item of the file."""
        return self.lines.line(*path)


def parse_agent_yaml(text: str, report: Report) -> AgentYaml:
    """Parse and validate; every mistake is reported."""
    if len(text.encode()) > MAX_BYTES:
        report(1, "yaml-size", f"larger than {MAX_BYTES} bytes", "Move long texts into prompt.md or README.md.")
        return AgentYaml(None)
    try:
        values, lines = read_yaml(text)
    except YamlMistake as mistake:
        report(mistake.line, "yaml-syntax", f"not YAML: {mistake}", "Correct the line.")
        return AgentYaml(None)
    if not isinstance(values, dict):
        report(1, "yaml-schema", "not a mapping of names to values", "Begin with `name: …`; see docs or another agent.")
        return AgentYaml(None, lines)
    found = AgentYaml(None, lines)
    try:
        return AgentYaml(AgentFile.model_validate(values), lines)
    except ValidationError as error:
        for detail in error.errors():
            path = tuple(part for part in detail["loc"] if part != "[key]")
            report(found.line(*path), "yaml-schema", *_explained(path, detail))
        return found


def read_yaml(text: str) -> tuple[object, Lines]:
    """The value of a YAML text, and where each of its parts stands.

    Raises:
        YamlMistake: the text is not YAML.
    """
    try:
        values = cast("object", _reader().load(text))
        return values, Lines(dict(_lines(cast("object", _reader().compose(text)), ())))
    except MarkedYAMLError as error:
        # A bracket or quote that is never closed is found where the text stops making sense: name where it was opened.
        context = cast("str | None", error.context) or ""
        unclosed = "flow" in context or "scalar" in context
        mark = cast("Any", (error.context_mark if unclosed else error.problem_mark) or error.context_mark)
        raise YamlMistake(_problem(error), mark.line + 1 if mark else 1) from None
    except (YAMLError, ValueError) as error:
        raise YamlMistake(" ".join(str(error).split()), 1) from None


def _reader() -> Any:  # noqa: ANN401 - ruamel's reader is not typed
    return YAML(typ="safe", pure=True)


def _lines(node: object, path: Path) -> Iterator[tuple[Path, int]]:
    if isinstance(node, MappingNode):
        for key, value in cast("list[tuple[object, object]]", node.value):
            if isinstance(key, ScalarNode):
                here = (*path, str(cast("Any", key).value))
                yield here, cast("Any", key).start_mark.line + 1
                yield from _lines(value, here)
    elif isinstance(node, SequenceNode):
        for position, value in enumerate(cast("list[object]", node.value)):
            yield (*path, position), cast("Any", value).start_mark.line + 1
            yield from _lines(value, (*path, position))


def _problem(error: MarkedYAMLError) -> str:
    problem = cast("str | None", error.problem) or cast("str | None", error.context) or "cannot be read"
    return " ".join(problem.split())


def _explained(path: Path, detail: ErrorDetails) -> tuple[str, str]:
    """Message and advice for one validation error."""
    place = ".".join(str(part) for part in path)
    kind = detail["type"]
    if kind == "missing":
        return f"`{place}` is missing", f"Add `{path[-1]}: …`."
    if kind == "extra_forbidden":
        known = _known_names(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        guess = f"Did you mean `{near[0]}`? " if near else ""
        return f"`{place}` is not a known name", f"{guess}Known here: {', '.join(known)}."
    said = detail["msg"][0].lower() + detail["msg"][1:]
    if kind == "string_type" and isinstance(detail["input"], int | float):
        return f"`{place}` is a number: {said}", f'Write it in quotes: "{detail["input"]}".'
    return f"`{place}` is {_shown(detail['input'])}: {said}", "Correct the value."


def _known_names(path: Path) -> list[str]:
    model: Any = AgentFile
    for part in path:
        annotation = model.model_fields[part].annotation if hasattr(model, "model_fields") else None
        if annotation is None or not hasattr(annotation, "model_fields"):
            return _of_mapping(annotation)
        model = annotation
    return sorted(model.model_fields)


def _of_mapping(annotation: Any) -> list[str]:  # noqa: ANN401 - whatever a field is annotated with
    arguments = getattr(annotation, "__args__", ())
    return sorted(arguments[-1].model_fields) if arguments and hasattr(arguments[-1], "model_fields") else []


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - half a line
