"""The model map as shipped, how the environment chooses the provider, and the making of clients."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.models.errors import ModelRejected
from activities.models.factory import aclose_all, provider_for
from activities.models.model_map import ModelMapError, is_pinned_version, load_model_map, provider_in_use, resolve
from activities.models.prices import ensure_priced
from activities.models.scripted import ScriptedProvider
from contracts.model import ModelChoice, Provider
from settings import Settings
from tests.activities.models.conftest import choice_of

pytestmark = pytest.mark.req("B4", "D4")

NAMES = ("route", "small", "mid", "large")
NOTHING = {
    "model_provider": "auto",
    "openai_api_key": None,
    "anthropic_api_key": None,
    "openai_base_url": None,
    "compatible_model": None,
}


def settings_with(**changes: object) -> Settings:
    return Settings().model_copy(update={**NOTHING, **changes})


def test_every_shipped_model_is_pinned_and_priced() -> None:
    for name, entries in load_model_map(settings_with().models_file).items():
        assert set(entries) == set(Provider), name
        for choice in entries.values():
            assert is_pinned_version(choice), choice
            ensure_priced(choice)


@pytest.mark.parametrize(
    ("environment", "provider"),
    [
        ({}, Provider.SCRIPTED),
        ({"openai_api_key": SecretStr("k")}, Provider.OPENAI),
        ({"anthropic_api_key": SecretStr("k")}, Provider.ANTHROPIC),
        ({"anthropic_api_key": SecretStr("k"), "openai_api_key": SecretStr("k")}, Provider.OPENAI),
        ({"openai_base_url": "http://127.0.0.1:1/v1", "anthropic_api_key": SecretStr("k")}, Provider.COMPATIBLE),
        ({"model_provider": "scripted", "openai_api_key": SecretStr("k")}, Provider.SCRIPTED),
    ],
)
def test_the_environment_chooses_the_provider(environment: dict[str, object], provider: Provider) -> None:
    chosen = settings_with(**environment)
    assert provider_in_use(chosen) is provider
    assert {choice.provider for choice in resolve(NAMES, chosen).values()} == {provider}


def test_a_compatible_choice_is_pinned_with_address_and_model() -> None:
    server = settings_with(openai_base_url="http://127.0.0.1:1/v1", compatible_model="qwen-3")
    choice = resolve(["small"], server)["small"]
    assert (choice.base_url, choice.model) == ("http://127.0.0.1:1/v1", "qwen-3")
    with pytest.raises(ModelMapError, match="password"):
        resolve(["small"], settings_with(openai_base_url="http://u:p@127.0.0.1/v1"))


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ModelMapError, match=r"models\.yaml has no model 'huge'\. It has route, small, mid, large"):
        resolve(["huge"], settings_with())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("small: {openai: {model: m, tokens: 3}}", "tokens"),
        ("small: {nobody: {model: m}}", "nobody"),
        ("small: [", "not YAML"),
    ],
)
def test_a_wrong_map_says_where(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(ModelMapError, match=place):
        resolve(["small"], settings_with(models_file=path))


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        (Provider.OPENAI, "gpt-5.4-mini-2026-03-17", "pinned"),
        (Provider.OPENAI, "gpt-5.4-mini", "alias"),
        (Provider.ANTHROPIC, "claude-haiku-4-5-20251001", "pinned"),
        (Provider.ANTHROPIC, "claude-haiku-4-5", "alias"),
        (Provider.ANTHROPIC, "claude-sonnet-4-6", "pinned"),
        (Provider.ANTHROPIC, "claude-opus-5", "pinned"),
        (Provider.ANTHROPIC, "claude-3-7-sonnet-latest", "alias"),
        (Provider.COMPATIBLE, "llama:latest", "alias"),
    ],
)
def test_aliases_are_flagged(provider: Provider, model: str, expected: str) -> None:
    found = is_pinned_version(choice_of(provider).model_copy(update={"model": model}))
    assert ("pinned" if found else "alias") == expected


async def test_clients_are_kept_for_the_loop_and_closed_with_it(tmp_path: Path) -> None:
    keyed = settings_with(openai_api_key=SecretStr("k"), anthropic_api_key=SecretStr("k"))
    for provider in (Provider.OPENAI, Provider.ANTHROPIC):
        first = provider_for(choice_of(provider), keyed, tmp_path)
        assert provider_for(choice_of(provider), keyed, tmp_path) is first
        other = await asyncio.to_thread(asyncio.run, _made_elsewhere(provider, keyed, tmp_path))
        assert other is not first
        await aclose_all()
        assert provider_for(choice_of(provider), keyed, tmp_path) is not first
    await aclose_all()


async def _made_elsewhere(provider: Provider, keyed: Settings, folder: Path) -> object:
    made = provider_for(choice_of(provider), keyed, folder)
    await aclose_all()
    return made


async def test_a_script_is_taken_from_the_agents_folder(tmp_path: Path) -> None:
    choice = ModelChoice(name="small", provider=Provider.SCRIPTED, model="scripted", fixture="other.yaml")
    provider = provider_for(choice, settings_with(), tmp_path)
    assert isinstance(provider, ScriptedProvider)
    assert provider.fixture == tmp_path / "other.yaml"


@pytest.mark.parametrize(
    ("provider", "remedy"),
    [
        (Provider.OPENAI, "Set OPENAI_API_KEY"),
        (Provider.ANTHROPIC, "Set ANTHROPIC_API_KEY"),
        (Provider.COMPATIBLE, "Set OPENAI_BASE_URL"),
    ],
)
async def test_a_missing_key_or_address_says_what_to_set(tmp_path: Path, provider: Provider, remedy: str) -> None:
    with pytest.raises(ModelRejected, match=remedy):
        provider_for(choice_of(provider), settings_with(), tmp_path)
