"""One delivery: every check in its order, then the inbox row, then the answer."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

from contracts.trace import trace_of
from settings.endpoint_secrets import EndpointSecrets
from settings.endpoints import Endpoint
from settings.logs import note
from settings.spans import tell
from store.database import Database, StoreDown
from store.inbox import Arrival, Conflict, Duplicate, Stored, accept
from workers.intake.answers import Receipt, Refusal
from workers.intake.cloud_events import read_event
from workers.intake.routing import route
from workers.intake.signature import SIGNED_HEADERS, is_signed

__all__ = ["BODY_TIMEOUT_S", "Receiver"]

BODY_TIMEOUT_S = 15.0
"""A sender that trickles its body for longer than this is sent away."""
_STORE_RETRY_S = 5
_OVERLOAD_RETRY_S = 1
_LOG = logging.getLogger(__name__)


@dataclass
class Receiver:
    """Takes deliveries for all endpoints."""

    endpoints: Mapping[str, Endpoint]
    secrets: EndpointSecrets
    store: Database
    """As the application role."""
    max_in_flight: int
    on_stored: Callable[[], None]
    """Called after a new row was committed."""
    in_flight: int = field(default=0, init=False)

    async def receive(self, name: str, request: Request) -> Receipt | Refusal:
        """Judge one delivery. The order of the checks is the order of what they cost."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            return Refusal.of(404, "endpoint_unknown", "There is no endpoint of this name. Check the URL.")
        if self.in_flight >= self.max_in_flight:
            return Refusal.of(
                429, "overloaded", "Too many deliveries at once. Deliver again later.", retry_after_s=_OVERLOAD_RETRY_S
            )
        note(endpoint=name)
        began_ns = time.time_ns()
        self.in_flight += 1
        try:
            body = await _read_body(request, endpoint.max_body_bytes)
            if isinstance(body, Refusal):
                return body
            arrival = self._judge(name, endpoint, request, body)
            if isinstance(arrival, Refusal):
                return arrival
            kept = await self._keep(arrival)
            if isinstance(kept, Receipt) and kept.status == "accepted":
                _tell(arrival, began_ns, request.headers.get("traceparent", ""))
            return kept
        finally:
            self.in_flight -= 1

    def _judge(self, name: str, endpoint: Endpoint, request: Request, body: bytes) -> Arrival | Refusal:
        headers = _single_headers(request)
        twice = _given_twice(request)
        if twice & set(SIGNED_HEADERS) or not is_signed(headers, body, self.secrets.of(name)):
            return Refusal.of(401, "signature_invalid", "The webhook signature is missing, wrong or too old.")
        if twice:
            return Refusal.of(400, "header_repeated", f"The header {min(twice)[:60]} is given twice. Send it once.")
        received = read_event(headers, body)
        if isinstance(received, Refusal):
            return received
        return route(name, endpoint, received, headers["webhook-id"])

    async def _keep(self, arrival: Arrival) -> Receipt | Refusal:
        try:
            acceptance = await accept(self.store, arrival)
        except StoreDown:
            _LOG.warning("the store is down, the sender is told to come back")
            return Refusal.of(
                503,
                "store_down",
                "The event could not be stored for now. Deliver it again, with the same id.",
                retry_after_s=_STORE_RETRY_S,
            )
        note(tenant=arrival.tenant, run=acceptance.run_id)
        match acceptance:
            case Stored(run_id=run_id):
                self.on_stored()
                return Receipt(run_id=run_id, status="accepted")
            case Duplicate(run_id=run_id):
                return Receipt(run_id=run_id, status="duplicate")
            case Conflict(run_id=run_id):
                _LOG.warning("another body under the id of an accepted event was refused")
                return Refusal.of(
                    409,
                    "event_conflict",
                    f"Another event was accepted under this id as {run_id}. Send a new event under a new id.",
                )


def _tell(arrival: Arrival, began_ns: int, caller: str) -> None:
    facts: dict[str, str | int] = {
        "gen_ai.conversation.id": arrival.run_id,
        "gen_ai.agent.name": arrival.agent,
        "countersign.tenant": arrival.tenant,
        "countersign.endpoint": arrival.endpoint,
    }
    tell("receive event", trace_of(arrival.tenant, arrival.run_id), began_ns, facts, caller)


async def _read_body(request: Request, max_bytes: int) -> bytes | Refusal:
    """The body, never more of it than the limit, whatever its length header says."""
    too_large = Refusal.of(413, "body_too_large", f"The body is larger than {max_bytes} bytes. Send less.")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    return too_large
    except TimeoutError:
        return Refusal.of(408, "body_too_slow", f"The body took longer than {BODY_TIMEOUT_S:.0f} s. Deliver it again.")
    except ClientDisconnect:
        return Refusal.of(400, "body_incomplete", "The connection ended within the body. Deliver it again.")
    return bytes(body)


def _single_headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _given_twice(request: Request) -> set[str]:
    """Headers that decide something and are given more than once: which one counts would be anybody's guess."""
    seen: set[str] = set()
    twice: set[str] = set()
    for name in request.headers:
        lower = name.lower()
        if lower in seen and (
            lower.startswith("ce-") or lower in {"content-type", "content-encoding", *SIGNED_HEADERS}
        ):
            twice.add(lower)
        seen.add(lower)
    return twice
