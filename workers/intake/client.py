"""A sender of events: signs and delivers, and delivers again when it is told to come back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from contracts.base import JsonObject
from contracts.canonical import canonical_bytes
from workers.intake.answers import Problem, Receipt, Refusal

__all__ = ["EventSender", "signed_headers"]

_TIMEOUT_S = 30.0
_MAX_WAIT_S = 30.0
_FIRST_WAIT_S = 0.5
_UNREACHABLE = 599
_COME_BACK = frozenset({408, 429, 500, 502, 503, 504})


def signed_headers(secret: str, delivery_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of a structured event that is delivered at that time (aware; UTC)."""
    return {
        "content-type": "application/cloudevents+json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery_id, at, body.decode()),
    }


@dataclass(frozen=True)
class EventSender:
    """Delivers events to one endpoint of an intake.

    An event that was answered with 200 or 202 is stored for good. Any other answer: nothing was, or it is not known;
    delivering the same event again is always safe.
    """

    url: str
    """Address of the endpoint, such as `http://127.0.0.1:8401/events/support-tickets`."""
    secret: str
    """Its signing secret, `whsec_…`."""
    attempts: int = 5
    """Deliveries in all, when the intake says to come back or cannot be reached."""
    wait: Callable[[float], None] = time.sleep
    """Waits between deliveries."""

    def send(self, event: JsonObject) -> Receipt | Refusal:
        """Deliver a CloudEvent in its JSON form: `specversion`, `id`, `source`, `type`, `data`.

        Returns:
            The receipt, or the last refusal; status 599 where the intake never answered.
        """
        body = canonical_bytes(event)
        answer: Receipt | Refusal = Refusal.of(_UNREACHABLE, "unreachable", "Nothing was sent.")
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            for attempt in range(1, self.attempts + 1):
                answer = self._deliver(client, str(event.get("id", "")), body)
                if isinstance(answer, Receipt) or answer.status not in {*_COME_BACK, _UNREACHABLE}:
                    return answer
                if attempt < self.attempts:
                    self.wait(min(_MAX_WAIT_S, answer.retry_after_s or _FIRST_WAIT_S * 2 ** (attempt - 1)))
        return answer

    def _deliver(self, client: httpx.Client, delivery_id: str, body: bytes) -> Receipt | Refusal:
        headers = signed_headers(self.secret, delivery_id, body, datetime.now(tz=UTC))
        try:
            response = client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return Refusal.of(
                _UNREACHABLE, "unreachable", f"{self.url} does not answer ({type(error).__name__}). Is the stack up?"
            )
        try:
            if response.status_code in {200, 202}:
                return Receipt.model_validate_json(response.content)
            after = response.headers.get("retry-after", "")
            return Refusal(
                status=response.status_code,
                problem=Problem.model_validate_json(response.content),
                retry_after_s=int(after) if after.isdecimal() else None,
            )
        except ValidationError:
            return Refusal.of(
                _UNREACHABLE, "not_an_intake", f"{self.url} answered {response.status_code} in words of its own."
            )
