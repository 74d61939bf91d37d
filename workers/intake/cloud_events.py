"""CloudEvents 1.0 over HTTP, structured and binary, read with the cloudevents package and held to more than it checks.

The package fills in what a sender left out: an event without `id` gets a random one, one without `time` the present.
Either would make every delivery a new event, so both are looked at before it builds the event.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import JsonValue, ValidationError

from contracts.event import AcceptedEvent
from workers.intake.answers import Refusal
from workers.intake.strict_json import BadJsonError, read_json

__all__ = ["ReceivedEvent", "read_event"]

STRUCTURED = "application/cloudevents+json"
_JSON = re.compile(r"^application/([a-z0-9.-]+\+)?json$")
_REQUIRED = ("id", "source", "type", "specversion")
_MAX_ATTRIBUTES = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class ReceivedEvent:
    """A well-formed event, and whether its attributes were under the signature."""

    event: AcceptedEvent
    mode: Literal["structured", "binary"]
    """In binary mode attributes come from headers, which the webhook signature does not cover."""


class _BadEventError(ValueError):
    """The event breaks a rule; the message says which."""


def read_event(headers: Mapping[str, str], body: bytes) -> ReceivedEvent | Refusal:
    """Read an event whose signature has been verified.

    Args:
        headers: by lower-case name.
        body: as received, within the endpoint's size limit.
    """
    refusal = _unsupported(headers)
    if refusal is not None:
        return refusal
    try:
        value = read_json(body)
    except BadJsonError as error:
        return Refusal.of(400, "json_invalid", f"{_sentence(error)}. Nothing was stored.")
    try:
        if _media_type(headers) == STRUCTURED:
            return ReceivedEvent(event=_structured(body, value), mode="structured")
        return ReceivedEvent(event=_binary(headers, value), mode="binary")
    except CloudEventValidationError as error:
        reason = str(next(iter(error.errors.values()))[0])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        reason = f"attribute {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        # The package's date parser raises any of these.
        reason = str(error)
    return Refusal.of(422, "event_invalid", f"Not a CloudEvent 1.0 that can be accepted: {_sentence(reason)}.")


def _unsupported(headers: Mapping[str, str]) -> Refusal | None:
    parameters = headers.get("content-type", "").lower().partition(";")[2]
    if "charset" in parameters and "utf-8" not in parameters:
        return Refusal.of(415, "charset_unsupported", "The body must be UTF-8. Send charset=utf-8 or none.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return Refusal.of(415, "encoding_unsupported", "The body must not be compressed. Send it without an encoding.")
    media_type = _media_type(headers)
    binary = _JSON.match(media_type) and "cloudevents" not in media_type and _has_attributes(headers)
    if media_type == STRUCTURED or binary:
        return None
    return Refusal.of(
        415,
        "media_type_unsupported",
        f"Send one CloudEvent as {STRUCTURED}, or its data as application/json with the attributes in ce- headers.",
    )


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _structured(body: bytes, value: JsonValue) -> AcceptedEvent:
    if not isinstance(value, dict):
        raise _BadEventError("the body is no JSON object")
    if "data_base64" in value:
        raise _BadEventError("data_base64 is not accepted, send JSON in data")
    for name, attribute in value.items():
        # An attribute that is null counts as absent in CloudEvents; the package would not agree.
        if name != "data" and not isinstance(attribute, str | int | bool):
            raise _BadEventError(f"attribute {ascii(name)[:60]} is no string, integer or boolean; leave it out")
    # The same bytes, read again by the package: they have one meaning only, which read_json has made sure of.
    message = HTTPMessage(headers={"content-type": STRUCTURED}, body=body)
    event = from_structured(message, JSONFormat(), _build)
    return _accepted(event, value.get("data"), has_time="time" in value)


def _binary(headers: Mapping[str, str], data: JsonValue) -> AcceptedEvent:
    attributes = {name: value for name, value in headers.items() if name.startswith("ce-")}
    # Without the body: the package would take JSON that it cannot read for text.
    message = HTTPMessage(headers={**attributes, "content-type": headers["content-type"]}, body=b"")
    event = from_binary(message, JSONFormat(), _build)
    return _accepted(event, data, has_time="ce-time" in attributes)


def _build(attributes: dict[str, Any], data: dict[str, Any] | str | bytes | None) -> BaseCloudEvent:
    if len(attributes) > _MAX_ATTRIBUTES:
        raise _BadEventError(f"it has more than {_MAX_ATTRIBUTES} attributes")
    for name in _REQUIRED:
        if name not in attributes:
            raise _BadEventError(f"attribute {name} is missing")
    return CloudEvent(attributes, data)


def _accepted(event: BaseCloudEvent, data: JsonValue, *, has_time: bool) -> AcceptedEvent:
    content_type = (event.get_datacontenttype() or "application/json").partition(";")[0].strip().lower()
    if not _JSON.match(content_type):
        raise _BadEventError("datacontenttype is not JSON")
    if not isinstance(data, dict):
        raise _BadEventError("data is no JSON object")
    for name in data:
        # Paths into the data are written with dots: a name with a dot could pass for the path of another field.
        if not _FIELD_NAME.fullmatch(name):
            raise _BadEventError(f"data has the field {ascii(name)[:80]}: use letters, digits, _ and - in its name")
    subject = event.get_subject()
    for name, text in (("subject", subject), ("source", event.get_source()), ("type", event.get_type())):
        if text is not None and _CONTROL.search(text):
            raise _BadEventError(f"attribute {name} holds a control character")
    return AcceptedEvent(
        id=event.get_id(),
        source=event.get_source(),
        type=event.get_type(),
        subject=subject,
        time=_utc(event.get_time()) if has_time else None,
        data=data,
    )


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _has_attributes(headers: Mapping[str, str]) -> bool:
    return any(name.startswith("ce-") for name in headers)


def _sentence(reason: object) -> str:
    # The package's messages quote what the sender wrote.
    line = " ".join(str(reason).split()).rstrip(".")[:240]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
