"""What the gate reads around a write: what became of it, and what it would change."""

from typing import Final, cast
from urllib.parse import quote

from pydantic import BaseModel

from agents.support_refund.records import IssueRefund, RefundPreview, reading
from contracts.base import JsonObject
from contracts.tool import Preview, Probe, ProbeFunction, Rejected, ToolContext

__all__ = ["BACKOFFICE", "outcome_as", "refund_preview"]

BACKOFFICE: Final = "backoffice"
_REFUSED: Final = 400
"""Statuses from here on are refusals."""


def outcome_as(model: type[BaseModel]) -> ProbeFunction:
    """A probe that asks the back office for an effect key; where it was done, the output is one of `model`."""

    async def probe(_args: object, ctx: ToolContext, effect_key: str) -> Probe:
        try:
            reply = await ctx.service(BACKOFFICE).request(
                "GET", f"/effects/{quote(effect_key, safe='/')}", arguments={"key": effect_key}
            )
        except Rejected as refusal:
            # Any other refusal (of the credential, say) tells nothing about the effect.
            return Probe(state="absent" if refusal.code == "effect_not_found" else "unclear")
        effect = cast("JsonObject", reply.body) if isinstance(reply.body, dict) else {}
        status = effect.get("status_code")
        if effect.get("key") != effect_key or not isinstance(status, int):
            return Probe(state="unclear")
        if status >= _REFUSED:
            # A refusal is kept under the key: nothing happened, and sending it again brings the same refusal.
            return Probe(state="absent")
        try:
            done = reading(model, effect.get("response"))
        except Rejected:
            return Probe(state="unclear")
        return Probe(state="done", output=done.model_dump(mode="json"))

    return probe


async def refund_preview(args: IssueRefund, ctx: ToolContext) -> Preview:
    """The order's money before and after a refund, and the account that it would go to.

    Raises:
        Rejected: the back office would refuse the refund.
    """
    reply = await ctx.service(BACKOFFICE).request(
        "GET",
        f"/orders/{args.order_id}/refund-preview",
        params={"amount_minor": args.amount_minor},
        arguments={"order_id": args.order_id, "amount_minor": args.amount_minor},
    )
    found = reading(RefundPreview, reply.body)
    if not found.allowed or found.after is None:
        refusal = found.refusal or {}
        raise Rejected(str(refusal.get("message", "not refundable")), code=str(refusal.get("code", "not_refundable")))
    if found.currency != args.currency:
        raise Rejected(f"the order is in {found.currency}, not in {args.currency}", code="currency_mismatch")
    shared: JsonObject = {"currency": found.currency, "destination": found.destination}
    return Preview(
        before={**found.before, **shared},
        after={**found.after, **shared},
        resource_version=str(found.version),
    )
