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
    RestoreStatus,
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
    # Of the order, whatever ticket it is about: else a customer with three tickets is given back three times the cap.
    natural_key=lambda args: f"refund:{args.order_id}",
    money=lambda args: Money(amount_minor=args.amount_minor, currency=args.currency),
    compensation="payments.reverse_refund",
    undone_with=lambda args, done: ReverseRefund(
        refund_id=done.refund_id, reason=f"The refund of order {args.order_id} was undone"
    ),
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
    not_undone="the customer is refunded anew instead, as a refund of its own",
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
    free_text=("text",),  # an account number is no reply, even where it is all that the reply says
    natural_key=lambda args: f"draft:{args.ticket_id}:{hashlib.sha256(args.text.encode()).hexdigest()[:32]}",
    compensation="tickets.discard_draft",
    undone_with=lambda args, done: DraftRef(ticket_id=args.ticket_id, draft_id=done.draft_id),
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
    not_undone="a draft is written anew instead",
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
    version=2,
    tier=Tier.REVERSIBLE,
    effect=Effect.WRITE,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:write", "effects:read"),
    timeout_s=15,
    resource=("Ticket", lambda args: args.ticket_id),
    compensation="tickets.restore_status",
    undone_with=lambda args, done: RestoreStatus(
        ticket_id=args.ticket_id, status=done.previous_status, expected_status=done.status, undoes_version=done.version
    ),
    probe=outcome_as(TicketStatus),
    key_window_s=KEY_WINDOW_S,
)
async def set_status(args: SetStatus, ctx: ToolContext) -> TicketStatus:
    """Set the ticket's status, as the last step before finishing."""
    reply = await ctx.service(BACKOFFICE).request(
        "POST", f"/tickets/{args.ticket_id}/status", json=args.model_dump(mode="json")
    )
    return written(TicketStatus, reply.body)


@tool(
    name="tickets.restore_status",
    version=1,
    tier=Tier.LOW_IMPACT,
    effect=Effect.WRITE,
    owner="support-platform",
    service=BACKOFFICE,
    scopes=("tickets:write", "effects:read"),
    timeout_s=15,
    resource=("Ticket", lambda args: args.ticket_id),
    natural_key=lambda args: f"restoration:{args.ticket_id}:{args.undoes_version}",
    not_undone="what it restores is what was before; set the status again instead",
    probe=outcome_as(TicketStatus),
    key_window_s=KEY_WINDOW_S,
)
async def restore_status(args: RestoreStatus, ctx: ToolContext) -> TicketStatus:
    """Put the ticket's status back: the undo of tickets.set_status, not offered to the model."""
    reply = await ctx.service(BACKOFFICE).request(
        "POST", f"/tickets/{args.ticket_id}/status/restoration", json=args.model_dump(mode="json")
    )
    return written(TicketStatus, reply.body)


def refund_or_reply_recorded(facts: RunFacts) -> bool:
    """Something was done for the customer: a refund is booked, or a reply is drafted."""
    return bool(facts.succeeded("payments.issue_refund") or facts.succeeded("tickets.reply_draft"))
