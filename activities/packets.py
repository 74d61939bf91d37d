"""The packet that a person gets who must go on: what was tried, what happened, what blocked, what is needed."""

from typing import cast

from contracts.base import JsonObject
from contracts.outcome import EscalationPacket, OutcomeReason

__all__ = ["escalation_packet"]

_MAX_LINES = 200
_NEEDED = {
    OutcomeReason.HANDED_OVER: "Check what it asks for against the records, then go on by hand.",
    OutcomeReason.POSTCONDITION_FAILED: "Look at what was really done, then go on by hand.",
    OutcomeReason.EFFECT_UNKNOWN: "Find out in the system of record whether the write happened, then close it in the "
    "unknown queue. Do not repeat it before.",
    OutcomeReason.APPROVAL_EXPIRED: "Decide whether it should still happen, and do it by hand or start a new run.",
    OutcomeReason.TAKEN_OVER: "Whoever took it over goes on by hand; nothing that was asked has been done.",
    OutcomeReason.LIMIT_REACHED: "Go on by hand, or start it again when there is more: `countersign limits show` says "
    "what is left and when a day's limits begin anew.",
    OutcomeReason.LOOP: "See what it tried again and again, then go on by hand.",
    OutcomeReason.HALTED: "Find out why it was stopped before anything is repeated.",
}


_ENDINGS = {
    "edit": "arguments edited",
    "ask": "a question to the model",
    "hand_over": "taken over",
}
"""How an approver ended a request beside deciding it."""


def escalation_packet(
    event: JsonObject,
    reason: OutcomeReason,
    detail: str,
    asked: str,
    entries: list[JsonObject],
    effects: list[JsonObject],
    *,
    by_model: bool,
) -> EscalationPacket:
    """Build the packet from the audit chain's entries (oldest first) and the ledger's rows.

    `asked`: what the last answer asked of a person; `by_model`: a model gave it, so that it is shown as such.
    """
    lines = [line for entry in entries if (line := _line(entry))]
    blocked = dict.fromkeys(text for entry in entries for text in _blocks(entry))
    if reason is OutcomeReason.TAKEN_OVER:
        detail = next((_taken_over(entry) for entry in reversed(entries) if _taken_over(entry)), detail)
    goal = f"{event.get('type', 'event')} {event.get('subject') or ''}".strip()
    return EscalationPacket(
        goal=goal,
        why=f"{reason.in_words()} {detail}".rstrip(),
        needed=(not by_model and asked) or _NEEDED.get(reason, "Look at what was tried and go on by hand."),
        model_asks=asked if by_model else "",
        steps=tuple(lines[-_MAX_LINES:]),
        effects=tuple(
            {key: effect[key] for key in ("step", "call", "tool", "state", "amount_minor", "currency", "error")}
            for effect in effects[-_MAX_LINES:]
        ),
        blocked_by=tuple(blocked)[:50],
    )


def _line(entry: JsonObject) -> str:
    body = cast("JsonObject", entry["body"])
    match entry["kind"]:
        case "model_replied" | "planned":
            return f"step {body['step']}: {body['served_model']} answered with {body['control']}"
        case "decided" if body["verdict"] == "settled":
            return f"step {body['step']}: {body['tool']} {body['status']}. {body.get('message', '')}".strip()
        case "finished":
            tail = f": {body['error']}" if body.get("error") else ""
            return f"step {body['step']}: {body['tool']} {body['status']}{tail}"
        case "approval_asked":
            return f"step {body['step']}: {body['tool']} was put before people ({body['requirement']})"
        case "approval_closed":
            by = ", ".join(cast("list[str]", body["by"]))
            what = _ENDINGS.get(str(body.get("ending")), f"approval {body['state']}")
            return what + (f" by {by}" if by else "") + (f": {body['said']}" if body.get("said") else "")
        case "call_edited":
            changed = ", ".join(cast("list[str]", body["changed"]))
            what = f"not used, {body['problem']}" if body.get("problem") else changed
            return f"step {body['step']}: {body['tool']} edited by {body['by']}: {what}"
        case "limits":
            by = f" by {body['by']}" if body["by"] else ""
            return f"step {body['step']}: {str(body['what']).replace('_', ' ')}: {body['limit']}{by}"
        case "doubted":
            return f"step {body['step']}: an attempt was lost; whether it had an effect is in doubt"
        case "resolved":
            return f"step {body['step']}: {body['tool']} is {body['state']} ({body['how']})"
        case _:
            return ""


def _taken_over(entry: JsonObject) -> str:
    """Who took a call over, and why, where the entry says so."""
    body = cast("JsonObject", entry["body"])
    if entry["kind"] != "approval_closed" or body.get("ending") != "hand_over":
        return ""
    return f"{', '.join(cast('list[str]', body['by'])[-1:])}: {body.get('said', '')}"


def _blocks(entry: JsonObject) -> list[str]:
    body = cast("JsonObject", entry["body"])
    if entry["kind"] != "decided" or not body.get("decision"):
        return []
    decision = cast("JsonObject", cast("JsonObject", body["decision"])["decision"])
    if decision["kind"] != "deny":
        return []
    reasons = cast("list[JsonObject]", decision["reasons"])
    return [f"{reason['policy']}: {reason['text']}" for reason in reasons] or ["no policy permits the call"]
