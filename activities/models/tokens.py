"""Tokens of a request before it is sent, from above and offline: reserved until the provider's own count settles it.

Method. A token of a byte-level tokenizer covers at least one byte, and in ASCII prose, JSON and identifiers three to
four characters; digits, hexadecimal and punctuation run down to about two. So: one token for two ASCII characters, one
for every byte of anything else (CJK and emoji take one to three tokens a character of three to four bytes), plus a
fixed part for each message, tool and request that covers the provider's own framing. Text made to defeat it (random
punctuation) can come out above the estimate, by less than a factor of two; what settles is the provider's count.
"""

import json
from math import ceil

from contracts.model import AssistantMessage, ModelRequest, Provider, ToolMessage

__all__ = ["estimate_tokens", "tokens_in"]

ASCII_PER_TOKEN = 2
PER_MESSAGE = 8
PER_CALL = 16
PER_TOOL = 24
PER_REQUEST = 32
TOOL_PROMPT = 600
"""Anthropic prepends a prompt of its own once tools are offered: 300 to 600 tokens by model."""


def estimate_tokens(request: ModelRequest) -> int:
    """Input tokens of a request, estimated from above."""
    tokens = PER_REQUEST + (TOOL_PROMPT if request.tools and request.choice.provider is Provider.ANTHROPIC else 0)
    for tool in request.tools:
        tokens += PER_TOOL + tokens_in(tool.name) + tokens_in(tool.description) + tokens_in(json.dumps(tool.parameters))
    for message in request.messages:
        tokens += PER_MESSAGE + tokens_in(message.shown if isinstance(message, ToolMessage) else message.text)
        if isinstance(message, AssistantMessage):
            tokens += sum(PER_CALL + tokens_in(call.tool) + tokens_in(call.arguments_json) for call in message.calls)
            tokens += sum(tokens_in(json.dumps(item)) for item in message.opaque)
    return tokens


def tokens_in(text: str) -> int:
    """Tokens of a text, estimated from above."""
    encoded = len(text.encode("utf-8", "replace"))
    if encoded == len(text):
        return ceil(encoded / ASCII_PER_TOKEN)
    plain = sum(character < "\x80" for character in text)
    return ceil(plain / ASCII_PER_TOKEN) + encoded - plain
