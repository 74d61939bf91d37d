"""The committed histories, and ways to tamper with them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from incidents.export import parse_history, read_history
from incidents.history import RunHistory

HISTORIES = Path(__file__).parents[1] / "workflows" / "histories"
FILES = sorted(HISTORIES.glob("*.json"))
APPROVED, SMALL, DENIED = "completed_approved_refund", "completed_small_refund", "escalated_denied_refund"
INJECTED, CANCELLED, FORGED = "escalated_injected_ticket", "cancelled_while_waiting", "failed_safe_not_admitted"
LONG = "escalated_long_run"

Document = dict[str, Any]


def recorded(name: str) -> RunHistory:
    """A committed history."""
    return read_history(HISTORIES / f"{name}.json")


def document(name: str) -> Document:
    """Its file."""
    return json.loads((HISTORIES / f"{name}.json").read_text())


def plain(name: str) -> Document:
    """Its first execution as Temporal's own export has it: without readable copies."""
    return document(name)["links"][0]["history"]


def tampered(name: str, activity: str, change: Callable[[Document], None], part: str = "result") -> RunHistory:
    """The plain history with the result (or `input`) of an activity, named by its id, changed."""
    history = plain(name)
    payload = _payload(history["events"], activity, part)
    value = json.loads(base64.b64decode(payload["data"]))
    change(value)
    payload["data"] = base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()
    return parse_history(json.dumps(history))


def _payload(events: list[Document], activity: str, part: str) -> Document:
    scheduled = ""
    for event in events:
        about: Document = event.get("activityTaskScheduledEventAttributes", {})
        if about.get("activityId") == activity:
            if part == "input":
                return about["input"]["payloads"][0]
            scheduled = event["eventId"]
        done: Document = event.get("activityTaskCompletedEventAttributes", {})
        if scheduled and done.get("scheduledEventId") == scheduled:
            return done["result"]["payloads"][0]
        details: Document = event.get("markerRecordedEventAttributes", {}).get("details", {})
        if details and json.loads(base64.b64decode(details["data"]["payloads"][0]["data"]))["activity_id"] == activity:
            return details["result"]["payloads"][0]
    raise LookupError(f"no activity {activity}")
