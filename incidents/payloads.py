"""Payloads of a history as JSON values. Pure."""

import json
from collections.abc import Sequence
from typing import cast

from google.protobuf.json_format import MessageToDict, ParseDict
from pydantic import JsonValue
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from contracts.base import JsonObject

__all__ = ["UnreadablePayloadError", "read_payload", "read_payloads", "readable_event"]

_PAYLOAD_KEYS = frozenset({"metadata", "data", "externalPayloads"})


class UnreadablePayloadError(Exception):
    """A payload that cannot be shown: encoded by a codec whose key is not at hand, or damaged."""


def read_payload(payload: Payload) -> JsonValue:
    """The value of a payload.

    Raises:
        UnreadablePayloadError: it is encoded, or no JSON.
    """
    encoding = payload.metadata.get("encoding", b"").decode(errors="replace")
    if encoding == "binary/null":
        return None
    if encoding != "json/plain":
        raise UnreadablePayloadError(f"a payload is encoded as {encoding or 'nothing that is named'}")
    try:
        return cast("JsonValue", json.loads(payload.data))
    except (ValueError, RecursionError) as error:
        raise UnreadablePayloadError("a payload holds no JSON") from error


def read_payloads(payloads: Sequence[Payload]) -> list[JsonValue]:
    """The values of payloads, in order."""
    return [read_payload(payload) for payload in payloads]


def readable_event(event: HistoryEvent) -> JsonObject | None:
    """An event with its payloads as values, for readers without Temporal; None for one that carries none."""
    plain = cast("JsonObject", MessageToDict(event))
    found = _inlined(plain)
    if found is None:
        return None
    return {"event_id": event.event_id, "event_type": plain["eventType"], "values": found}


def _inlined(value: JsonValue) -> JsonValue:
    """Only what leads to payloads, with each payload as its value; None where there is none."""
    if isinstance(value, dict):
        if "metadata" in value and value.keys() <= _PAYLOAD_KEYS:
            return read_payload(_payload(value))
        parts: JsonObject = {key: found for key, part in value.items() if (found := _inlined(part)) is not None}
        return parts or None
    if isinstance(value, list):
        items: list[JsonValue] = [found for part in value if (found := _inlined(part)) is not None]
        return items or None
    return None


def _payload(value: JsonObject) -> Payload:
    return ParseDict(value, Payload())
