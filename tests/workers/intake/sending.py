"""Senders of events for tests: honest ones, and ones that write what they like."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

ENDPOINT = "support-tickets"
STRUCTURED = "application/cloudevents+json"


def make_secret(seed: str) -> str:
    return "whsec_" + base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode()


SECRET = make_secret("in force")
OLD_SECRET = make_secret("the one before it")
FOREIGN_SECRET = make_secret("of another endpoint")


def event(event_id: str = "evt-1", **changes: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/helpdesk/acme",
        "type": "ticket.created",
        "time": "2026-11-20T09:30:00Z",
        "data": {"ticket_id": "TCK-2001"},
        **changes,
    }


def body_of(value: object) -> bytes:
    return json.dumps(value).encode()


def headers_for(
    body: bytes, delivery_id: str = "msg-1", *, secret: str = SECRET, age_s: int = 0, **more: str
) -> dict[str, str]:
    """Correctly signed headers of a structured event; `more` adds and overrides, with `_` for `-`.

    Signed by hand: the library signs text alone, and a hostile sender signs any bytes.
    """
    timestamp = int(time.time()) - age_s
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": STRUCTURED,
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
