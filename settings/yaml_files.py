"""Read a YAML file into a frozen model; every mistake is one line that names file, line and field."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from settings.errors import SettingsError

__all__ = ["load_yaml", "mistake"]

MAX_FILE_BYTES = 1_000_000
ModelT = TypeVar("ModelT", bound=BaseModel)


def load_yaml(file: Path, model: type[ModelT]) -> ModelT:
    """The file's content, validated.

    Raises:
        SettingsError: it cannot be read, is not YAML, holds a key twice, or does not fit the model.
    """
    root = _compose(file)
    _refuse_double_keys(file, root)
    # Only plain values: the safe constructor knows no Python objects.
    loader = yaml.SafeLoader("")
    try:
        value: object = loader.construct_document(root)  # pyright: ignore[reportUnknownMemberType] - untyped in the stubs
    except (yaml.YAMLError, ValueError) as error:  # a day that no month has is a ValueError
        raise SettingsError(f"{file}: {_one_line(str(error))}. Correct it and start again.") from error
    finally:
        loader.dispose()
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise mistake(file, first["loc"], first["msg"], root) from error


def mistake(file: Path, path: Iterable[int | str], message: str, root: yaml.Node | None = None) -> SettingsError:
    """The error to raise about the field at `path`."""
    parts = tuple(path)
    line = _line_of(root or _compose(file), parts)
    return SettingsError(f"{file}:{line}: {'.'.join(str(part) for part in parts) or 'file'}: {_one_line(message)}")


def _compose(file: Path) -> yaml.Node:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}. Check the path and its permissions.") from error
    if len(text) > MAX_FILE_BYTES:
        raise SettingsError(f"{file} is larger than {MAX_FILE_BYTES} bytes. Is it the right file?")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not YAML: {_one_line(str(error))}. Correct it and start again.") from error
    if root is None:
        raise SettingsError(f"{file} is empty. Compare it with the file of the same name in the clone.")
    return root


def _refuse_double_keys(file: Path, node: yaml.Node) -> None:
    # YAML readers keep the last of two equal keys: half of an author's intent would vanish in silence.
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise SettingsError(f"{file}:{key.start_mark.line + 1}: {name}: stands here for the second time")
            seen.add(name)
            _refuse_double_keys(file, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_double_keys(file, item)


def _line_of(node: yaml.Node, path: tuple[int | str, ...]) -> int:
    """Line of the deepest part of the path that the file has."""
    line = node.start_mark.line + 1
    for part in path:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is not None:
                line, found = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            item: yaml.Node = node.value[part]
            line, found = item.start_mark.line + 1, item
        if found is None:
            break
        node = found
    return line


def _one_line(text: str) -> str:
    return " ".join(text.split())
