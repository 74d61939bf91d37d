"""Which agent an event starts: the endpoint's configuration decides, the event chooses among what stands there."""

import re
from dataclasses import dataclass

from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent
from settings.endpoints import Endpoint, Route
from store.inbox import Arrival
from workers.intake.answers import Refusal
from workers.intake.cloud_events import ReceivedEvent

__all__ = ["route"]

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}")
_MAX_TRUSTED_CHARACTERS = 200


@dataclass(frozen=True)
class _Fields:
    """The fields that configuration may name, as text."""

    event: AcceptedEvent

    def text(self, name: str) -> str | None:
        if name == "type":
            return self.event.type
        if name == "source":
            return self.event.source
        value = self.event.data.get(name.removeprefix("data."))
        return value if isinstance(value, str) else None


def route(name: str, endpoint: Endpoint, received: ReceivedEvent, webhook_id: str) -> Arrival | Refusal:
    """What to store for a verified event, or why it has no place here.

    Args:
        name: the endpoint's name.
        endpoint: its configuration.
        received: the event.
        webhook_id: the signed id of the delivery.
    """
    event = received.event
    fields = _Fields(event)
    chosen = next((candidate for candidate in endpoint.routes if _fits(candidate, fields)), None)
    refusal = _not_from_there(endpoint, received, webhook_id) or _untrustworthy(endpoint, event)
    if refusal is not None:
        return refusal
    if chosen is None:
        return Refusal.of(422, "not_routed", "No route of this endpoint fits the event. Check its type.")
    user = None if endpoint.on_behalf_of is None else fields.text(f"data.{endpoint.on_behalf_of}")
    if endpoint.on_behalf_of is not None and (user is None or not _USER.fullmatch(user)):
        return Refusal.of(
            422, "user_invalid", f"data.{endpoint.on_behalf_of} must name the user on whose behalf this is."
        )
    return Arrival(
        tenant=endpoint.tenant,
        endpoint=name,
        event=event.model_copy(update={"trusted": endpoint.trusted}),
        agent=chosen.agent,
        run_id=run_id_for(endpoint.tenant, name, event.key),
        on_behalf_of=user,
    )


def _not_from_there(endpoint: Endpoint, received: ReceivedEvent, webhook_id: str) -> Refusal | None:
    if received.mode == "binary" and not endpoint.binary:
        return Refusal.of(
            415, "mode_unsupported", "This endpoint takes structured events only: application/cloudevents+json."
        )
    if received.mode == "binary" and webhook_id != received.event.id:
        # ce- headers are not signed: without this, a captured body could be delivered again under a new id.
        return Refusal.of(422, "id_mismatch", "In binary mode webhook-id must equal ce-id: the signature covers it.")
    if received.event.source not in endpoint.sources:
        return Refusal.of(422, "source_unknown", "This endpoint does not list the event's source. Check the source.")
    return None


def _untrustworthy(endpoint: Endpoint, event: AcceptedEvent) -> Refusal | None:
    for field in endpoint.trusted:
        value = event.data.get(field)
        if value is not None and not _is_scalar(value):
            return Refusal.of(422, "trusted_field_invalid", f"data.{field} must be a short string, integer or boolean.")
    return None


def _fits(candidate: Route, fields: _Fields) -> bool:
    return all(fields.text(field) in values for field, values in candidate.when.items())


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _MAX_TRUSTED_CHARACTERS)
