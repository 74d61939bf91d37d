"""Model providers behind one contract: OpenAI, Anthropic, any OpenAI-compatible server, and a labelled script."""

from activities.models.errors import ModelRejected, ModelUnavailable
from activities.models.factory import aclose_all, provider_for
from activities.models.provider import ModelProvider
from activities.models.schemas import FINISH_TOOL, plain_arguments, tool_schema

__all__ = [
    "FINISH_TOOL",
    "ModelProvider",
    "ModelRejected",
    "ModelUnavailable",
    "aclose_all",
    "plain_arguments",
    "provider_for",
    "tool_schema",
]
