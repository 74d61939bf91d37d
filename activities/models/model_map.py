"""From the names that agents use to pinned models, by `settings/models.yaml` and what the environment has keys for."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from contracts.base import JsonObject
from contracts.model import ModelChoice, Provider
from settings import Settings
from settings.providers import choose_provider

__all__ = ["ModelMapError", "entries_of", "is_pinned_version", "load_model_map", "provider_in_use", "resolve"]

_File = TypeAdapter(dict[str, dict[Provider, JsonObject]])
_DATED = re.compile(r"-(20\d\d-\d\d-\d\d|20\d{6})$")
_CLAUDE = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?$")
_FIRST_DATELESS = (4, 6)


class ModelMapError(Exception):
    """The model map cannot be used; the message says where and what to do."""


def resolve(names: Iterable[str], settings: Settings) -> dict[str, ModelChoice]:
    """The models that names stand for with the provider in use, by name.

    Raises:
        ModelMapError: a name that the map does not have, for this provider, or a map that is wrong.
    """
    provider = provider_in_use(settings)
    chosen: dict[str, ModelChoice] = {}
    for name in names:
        entries = _entries(name, settings)
        if provider not in entries:
            file = settings.models_file.name
            raise ModelMapError(f"{file} has no {provider} entry for {name!r}. Add one or set model_provider.")
        chosen[name] = _placed(entries[provider], settings)
    return chosen


def entries_of(name: str, settings: Settings) -> list[ModelChoice]:
    """What a name stands for at each provider that the map has for it.

    Raises:
        ModelMapError: a name that the map does not have, or a map that is wrong.
    """
    return [_placed(choice, settings) for choice in _entries(name, settings).values()]


def provider_in_use(settings: Settings) -> Provider:
    """The provider that the settings name, by the one rule of `settings.providers`."""
    return Provider(choose_provider(settings).provider)


def is_pinned_version(choice: ModelChoice) -> bool:
    """Whether the model's id stays with one version. Behind an alias the provider puts another model at any time.

    OpenAI dates its versions. Anthropic dates those before 4.6 and pins every id since
    (platform.claude.com/docs/en/about-claude/models/model-ids-and-versions). The ids of a compatible server are its own
    affair: only what calls itself latest is flagged.
    """
    match choice.provider:
        case Provider.OPENAI:
            return bool(_DATED.search(choice.model))
        case Provider.ANTHROPIC:
            claude = _CLAUDE.match(choice.model)
            since = claude is not None and (int(claude[1]), int(claude[2] or 0)) >= _FIRST_DATELESS
            return since or bool(_DATED.search(choice.model))
        case Provider.COMPATIBLE:
            return "latest" not in choice.model
        case Provider.SCRIPTED:
            return True


def load_model_map(path: Path) -> dict[str, dict[Provider, ModelChoice]]:
    """Every model of the map, by name and provider; read again when the file has changed.

    Raises:
        ModelMapError: missing, not YAML, or not of its form.
    """
    try:
        return _load(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ModelMapError(f"{path}: {error.strerror}. Restore it, or point models_file at yours.") from None


@lru_cache(maxsize=8)
def _load(path: Path, _mtime_ns: int) -> dict[str, dict[Provider, ModelChoice]]:
    try:
        raw = _File.validate_python(yaml.safe_load(path.read_text("utf-8")))
        return {
            name: {
                provider: ModelChoice.model_validate({"name": name, "provider": provider, **entry})
                for provider, entry in entries.items()
            }
            for name, entries in raw.items()
        }
    except yaml.YAMLError as error:
        raise ModelMapError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelMapError(f"{path}: {place}: {first['msg']}") from None


def _entries(name: str, settings: Settings) -> dict[Provider, ModelChoice]:
    models = load_model_map(settings.models_file)
    if name not in models:
        known = ", ".join(models)
        raise ModelMapError(f"{settings.models_file.name} has no model {name!r}. It has {known}; use one or add it.")
    return models[name]


def _placed(choice: ModelChoice, settings: Settings) -> ModelChoice:
    """A compatible model with the address and the model id that the environment gives."""
    if choice.provider is not Provider.COMPATIBLE:
        return choice
    base_url = choice.base_url or settings.openai_base_url
    if base_url and "@" in base_url:
        # The choice is recorded in the run's history, where no password belongs.
        raise ModelMapError("the server's address carries a password. Put the key into OPENAI_API_KEY instead.")
    return choice.model_copy(update={"base_url": base_url, "model": settings.compatible_model or choice.model})
