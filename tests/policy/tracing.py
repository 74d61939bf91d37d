"""Where the arguments of one call came from, read from all messages at once."""

from collections.abc import Mapping, Sequence

from contracts.base import JsonObject
from contracts.tool import Label
from policy.provenance import Trace, ValueIndex

__all__ = ["trace_arguments"]


def trace_arguments(
    arguments: JsonObject,
    messages: Sequence[JsonObject],
    trusted_fields: Sequence[str],
    labels: Mapping[str, Mapping[str, Label]],
) -> dict[str, Trace]:
    """The label of every top-level argument after these messages."""
    index = ValueIndex()
    index.read(messages, trusted_fields, labels)
    return index.trace(arguments)
