"""From a pinned model to the provider that answers for it; clients are kept per event loop, with their connections."""

import asyncio
from pathlib import Path
from weakref import WeakKeyDictionary

from pydantic import SecretStr

from activities.models.errors import ModelRejected
from activities.models.provider import ModelProvider
from activities.models.scripted import ScriptedProvider
from contracts.model import ModelChoice, Provider
from settings import Settings

__all__ = ["aclose_all", "provider_for"]

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"

_Key = tuple[Provider, str, str]
"""Provider, address or fixture, key."""
_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, ModelProvider]] = WeakKeyDictionary()


def provider_for(choice: ModelChoice, settings: Settings, agent_folder: Path) -> ModelProvider:
    """The provider of a choice, asked for within a running event loop: connections belong to one loop.

    Raises:
        ModelRejected: a setting that it needs, key or address, is missing.
    """
    match choice.provider:
        case Provider.SCRIPTED:
            where, secret = str(agent_folder / (choice.fixture or "script.yaml")), ""
        case Provider.OPENAI:
            where, secret = choice.base_url or OPENAI_URL, _needed(settings.openai_api_key, "OPENAI_API_KEY", choice)
        case Provider.ANTHROPIC:
            where = choice.base_url or ANTHROPIC_URL
            secret = _needed(settings.anthropic_api_key, "ANTHROPIC_API_KEY", choice)
        case Provider.COMPATIBLE:
            where = choice.base_url or settings.openai_base_url or ""
            # Servers on one's own machine mostly ask for no key; the SDK insists on something to send.
            secret = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    if not where:
        raise ModelRejected(f"model {choice.name} needs the address of its server. Set OPENAI_BASE_URL.")
    kept = _kept.setdefault(asyncio.get_running_loop(), {})
    key = (choice.provider, where, secret)
    if key not in kept:
        kept[key] = _made(*key)
    return kept[key]


async def aclose_all() -> None:
    """Close every client of the running event loop."""
    for provider in _kept.pop(asyncio.get_running_loop(), {}).values():
        await provider.aclose()


def _made(provider: Provider, where: str, secret: str) -> ModelProvider:
    # Imported where they are used: the SDKs cost about a second, which a scripted worker need not spend.
    match provider:
        case Provider.SCRIPTED:
            return ScriptedProvider(Path(where))
        case Provider.OPENAI:
            from activities.models.openai_responses import OpenAIProvider  # noqa: PLC0415 - see above

            return OpenAIProvider(secret, where)
        case Provider.ANTHROPIC:
            from activities.models.anthropic_messages import AnthropicProvider  # noqa: PLC0415 - see above

            return AnthropicProvider(secret, where)
        case Provider.COMPATIBLE:
            from activities.models.openai_compatible import CompatibleProvider  # noqa: PLC0415 - see above

            return CompatibleProvider(secret, where)


def _needed(secret: SecretStr | None, name: str, choice: ModelChoice) -> str:
    if secret is None or not secret.get_secret_value():
        raise ModelRejected(f"model {choice.name} is served by {choice.provider}, which needs a key. Set {name}.")
    return secret.get_secret_value()
