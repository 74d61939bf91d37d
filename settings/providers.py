"""Which model provider `model_provider=auto` means, and why: the same answer for runs, `doctor` and `demo`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from settings.model import Settings

__all__ = ["ProviderChoice", "choose_provider"]


class ProviderChoice(BaseModel):
    """The provider that answers, and the reason in words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["scripted", "openai", "anthropic", "compatible"]
    """The provider."""
    reason: str
    """Why this one, for people."""
    missing: str | None = None
    """What it needs and has not got, with what to do; null: nothing."""


def choose_provider(settings: Settings) -> ProviderChoice:
    """Follow the setting; `auto` takes a base address before a key, OpenAI before Anthropic, and a script last."""
    if settings.model_provider != "auto":
        return ProviderChoice(
            provider=settings.model_provider,
            reason=f"COUNTERSIGN_MODEL_PROVIDER is {settings.model_provider}",
            missing=_missing(settings),
        )
    if settings.openai_base_url is not None:
        return ProviderChoice(provider="compatible", reason=f"OPENAI_BASE_URL is {settings.openai_base_url}")
    if settings.openai_api_key is not None:
        return ProviderChoice(provider="openai", reason="OPENAI_API_KEY is set")
    if settings.anthropic_api_key is not None:
        return ProviderChoice(provider="anthropic", reason="ANTHROPIC_API_KEY is set")
    return ProviderChoice(
        provider="scripted", reason="no key or base address is set: a script answers in place of a model"
    )


def _missing(settings: Settings) -> str | None:
    match settings.model_provider:
        case "openai" if settings.openai_api_key is None:
            return "It needs a key. Set OPENAI_API_KEY."
        case "anthropic" if settings.anthropic_api_key is None:
            return "It needs a key. Set ANTHROPIC_API_KEY."
        case "compatible" if settings.openai_base_url is None:
            return "It needs the address of its server. Set OPENAI_BASE_URL."
        case _:
            return None
