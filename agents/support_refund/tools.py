"""The refund agent's tools, against the back office. Address, credential and idempotency key come from the gate."""

import hashlib
from typing import Final, cast

from agents.support_refund.lookups import BACKOFFICE, outcome_as, refund_preview
from agents.support_refund.records import (
    Draft,
    DraftRef,
    DraftReply,
    IssueRefund,
    Order,
    OrderItem,
    OrderRef,
    Refund,
    ReopenTicket,
    ReverseRefund,
    SetStatus,
    Ticket,
    TicketRef,
    TicketStatus,
    reading,
    written,
)
from contracts.base import JsonObject
from contracts.postcondition import RunFacts
from contracts.tool import Effect, Label, Money, Tier, ToolContext, tool

KEY_WINDOW_S: Final = 604_800
"""The back office keeps idempotency keys for seven days (its /.well-known/backoffice says so)."""


@tool(
    name="crm.read_ticket",
    version=1,
    tier=Tier.READ_ONLY,
    effect=Effect.READ,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:read",),
    resource=("Ticket", lambda args: args.ticket_id),
    labels={"subject": Label.UNTRUSTED, "text": Label.UNTRUSTED},
    data_class="personal",
)
async def read_ticket(args: TicketRef, ctx: ToolContext) -> Ticket:
    """Read the support ticket: the customer's words, and the order that the help desk linked to it."""
    reply = await ctx.service(BACKOFFICE).request("GET", f"/tickets/{args.ticket_id}")
    return reading(Ticket, reply.body)


@tool(
    name="orders.get_status",
    version=1,
    tier=Tier.READ_ONLY,
    effect=Effect.READ,
    owner="order-platform",
    service=BACKOFFICE,
    scopes=("orders:read",),
    resource=("Order", lambda args: args.order_id),
)
async def get_status(args: OrderRef, ctx: ToolContext) -> Order:
    """Read an order: its items and prices, what was paid, what has been refunded and what still can be."""
    reply = await ctx.service(BACKOFFICE).request("GET", f"/orders/{args.order_id}")
    body = cast("JsonObject", reply.body) if isinstance(reply.body, dict) else {}
    payment = cast("JsonObject", body.get("payment") or {})
    lines = cast("list[object]", body.get("items") or [])
    return reading(
        Order,
        body,
        items=[reading(OrderItem, line) for line in lines],
        payment_status=payment.get("status"),
    )


@tool(
    name="payments.issue_refund",
    version=1,
    tier=Tier.REVERSIBLE,
    effect=Effect.WRITE,
    owner="payments-oncall",
    service=BACKOFFICE,
    scopes=("refunds:write", "refunds:read", "effects:read"),
    timeout_s=15,
    resource=("Order", lambda args: args.order_id),
    natural_key=lambda args: f"refund:{args.order_id}:{args.ticket_id}",
    money=lambda args: Money(amount_minor=args.amount_minor, currency=args.currency),
    compensation="payments.reverse_refund",
    probe=outcome_as(Refund),
    preview=refund_preview,
    rate_per_minute=30,
    key_window_s=KEY_WINDOW_S,
    customer_visible=True,
)
async def issue_refund(args: IssueRefund, ctx: ToolContext) -> Refund:
    """Refund an order, in whole or in part, to the account that it was paid from."""
    reply = await ctx.service(BACKOFFICE).request("POST", "/refunds", json=args.model_dump(mode="json"))
    return written(Refund, reply.body)


@tool(
    name="payments.reverse_refund",
    version=1,
    tier=Tier.HIGH_IMPACT,
    effect=Effect.WRITE,
    owner="payments-oncall",
    service=BACKOFFICE,
    scopes=("refunds:write", "effects:read"),
    timeout_s=15,
    resource=("Refund", lambda args: args.refund_id),
    natural_key=lambda args: f"reversal:{args.refund_id}",
    probe=outcome_as(Refund),
    key_window_s=KEY_WINDOW_S,
    customer_visible=True,
)
async def reverse_refund(args: ReverseRefund, ctx: ToolContext) -> Refund:
    """Take a refund back: the undo of payments.issue_refund, not offered to the model."""
    reply = await ctx.service(BACKOFFICE).request(
        "POST", f"/refunds/{args.refund_id}/reversal", json=args.model_dump(mode="json")
    )
    return written(Refund, reply.body)


@tool(
    name="tickets.reply_draft",
    version=1,
    tier=Tier.LOW_IMPACT,
    effect=Effect.WRITE,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:write", "effects:read"),
    timeout_s=15,
    resource=("Ticket", lambda args: args.ticket_id),
    # The same words twice are one deed; a better draft is another.
    natural_key=lambda args: f"draft:{args.ticket_id}:{hashlib.sha256(args.text.encode()).hexdigest()[:32]}",
    compensation="tickets.discard_draft",
    probe=outcome_as(Draft),
    key_window_s=KEY_WINDOW_S,
    data_class="personal",
)
async def reply_draft(args: DraftReply, ctx: ToolContext) -> Draft:
    """Draft the reply to the customer. A person reads and sends it."""
    reply = await ctx.service(BACKOFFICE).request(
        "POST", f"/tickets/{args.ticket_id}/drafts", json=args.model_dump(mode="json")
    )
    return written(Draft, reply.body)


@tool(
    name="tickets.discard_draft",
    version=1,
    tier=Tier.LOW_IMPACT,
    effect=Effect.WRITE,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:write", "effects:read"),
    timeout_s=15,
    resource=("Ticket", lambda args: args.ticket_id),
    natural_key=lambda args: f"discard:{args.ticket_id}:{args.draft_id}",
    probe=outcome_as(Draft),
    key_window_s=KEY_WINDOW_S,
)
async def discard_draft(args: DraftRef, ctx: ToolContext) -> Draft:
    """Discard a draft that was not sent: the undo of tickets.reply_draft, not offered to the model."""
    reply = await ctx.service(BACKOFFICE).request(
        "POST", f"/tickets/{args.ticket_id}/drafts/{args.draft_id}/discard", json=args.model_dump(mode="json")
    )
    return written(Draft, reply.body)


@tool(
    name="tickets.set_status",
    version=1,
    tier=Tier.REVERSIBLE,
    effect=Effect.WRITE,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:write", "effects:read"),
    timeout_s=15,
    resource=("Ticket", lambda args: args.ticket_id),
    compensation="tickets.reopen",
    probe=outcome_as(TicketStatus),
    key_window_s=KEY_WINDOW_S,
)
async def set_status(args: SetStatus, ctx: ToolContext) -> TicketStatus:
    """Set the ticket's status, as the last step before finishing."""
    return await _status(args, ctx)


@tool(
    name="tickets.reopen",
    version=1,
    tier=Tier.LOW_IMPACT,
    effect=Effect.WRITE,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:write", "effects:read"),
    timeout_s=15,
    resource=("Ticket", lambda args: args.ticket_id),
    compensation="tickets.set_status",
    probe=outcome_as(TicketStatus),
    key_window_s=KEY_WINDOW_S,
)
async def reopen(args: ReopenTicket, ctx: ToolContext) -> TicketStatus:
    """Open the ticket again: the undo of tickets.set_status, not offered to the model."""
    return await _status(args, ctx)


async def _status(args: SetStatus | ReopenTicket, ctx: ToolContext) -> TicketStatus:
    reply = await ctx.service(BACKOFFICE).request(
        "POST", f"/tickets/{args.ticket_id}/status", json=args.model_dump(mode="json")
    )
    return written(TicketStatus, reply.body)


def refund_or_reply_recorded(facts: RunFacts) -> bool:
    """Something was done for the customer: a refund is booked, or a reply is drafted."""
    return bool(facts.succeeded("payments.issue_refund") or facts.succeeded("tickets.reply_draft"))
