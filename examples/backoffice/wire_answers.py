"""What callers get back. Amounts are integers in minor units; times are RFC 3339 in UTC."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from examples.backoffice.wire_arguments import TicketStatus


class Answer(BaseModel):
    """Base of every body that this service writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ErrorBody(Answer):
    """Every refusal."""

    code: str
    """Stable word to branch on."""

    message: str
    """Sentence for people."""


class Draft(Answer):
    """A reply to a ticket: written, sent or discarded."""

    draft_id: str
    """Identifier of the reply through its whole life."""
    ticket_id: str
    """Ticket that it belongs to."""
    text: str
    """Text that the customer reads once it is sent."""
    status: Literal["draft", "sent", "discarded"]
    """Only ``sent`` has left the house."""
    to: str
    """E-mail address of the ticket's customer."""
    created_at: str
    """When it was written down."""
    sent_at: str | None
    """When it was sent."""
    effect_key: str
    """Idempotency key of the write that made it."""
    run: str
    """The caller's run (``txn`` of its token) that made it."""
    ticket_version: int
    """Version of the ticket after the last change to this draft."""


class Ticket(Answer):
    """A customer's request. ``subject`` and ``text`` are the customer's words and prove nothing."""

    ticket_id: str
    """Identifier."""
    customer_id: str
    """Who wrote it, as established by the sign-in of the portal."""
    order_id: str | None
    """Order that the portal attached to it."""
    subject: str
    """Untrusted text."""
    text: str
    """Untrusted text."""
    status: TicketStatus
    """Where the work on it stands."""
    created_at: str
    """When it was written."""
    version: int
    """Rises by one with each change."""
    drafts: tuple[Draft, ...]
    """Replies, oldest first."""


class TicketStatusChange(Answer):
    """A changed status, with what is needed to change it back."""

    ticket_id: str
    """Ticket that changed."""
    status: TicketStatus
    """Status now."""
    previous_status: TicketStatus
    """Status before."""
    version: int
    """Version of the ticket after the change."""


class OrderItem(Answer):
    """One line of an order."""

    sku: str
    """Article number."""
    name: str
    """Article."""
    quantity: int
    """Pieces."""
    unit_price_minor: int
    """Price of one piece in minor units."""


class Payment(Answer):
    """The payment of an order: the only place that a refund can go to."""

    payment_id: str
    """Identifier."""
    method: Literal["sepa_debit", "card"]
    """How it was paid."""
    account: str
    """Account number or masked card that paid."""
    captured_minor: int
    """Amount that arrived, in minor units."""
    status: Literal["captured", "partially_refunded", "refunded", "failed"]
    """What is left of it."""


class Order(Answer):
    """An order with its items and payment."""

    order_id: str
    """Identifier."""
    customer_id: str
    """Buyer."""
    status: Literal["paid", "shipped", "delivered", "cancelled"]
    """Where the goods are."""
    currency: str
    """ISO 4217 code of all its amounts."""
    total_minor: int
    """Sum of its items in minor units."""
    items: tuple[OrderItem, ...]
    """Lines."""
    payment: Payment
    """Payment."""
    refunded_minor: int
    """Returned so far, reversals taken off, in minor units."""
    refundable_minor: int
    """Still returnable, in minor units."""
    placed_at: str
    """When it was placed."""
    version: int
    """Rises by one with each refund and reversal."""


class Customer(Answer):
    """A customer's record."""

    customer_id: str
    """Identifier."""
    name: str
    """Full name."""
    email: str
    """Verified address."""
    iban: str
    """Account number on file."""
    country: str
    """ISO 3166 code."""
    since: str
    """Day of the first order."""
    order_ids: tuple[str, ...]
    """Orders, oldest first."""
    ticket_ids: tuple[str, ...]
    """Tickets, oldest first."""


class Refund(Answer):
    """Money that went back to the payment it came from."""

    refund_id: str
    """Identifier."""
    order_id: str
    """Order."""
    payment_id: str
    """Payment that was returned."""
    customer_id: str
    """Buyer of the order."""
    destination: str
    """Account of the original payment."""
    amount_minor: int
    """Amount in minor units."""
    currency: str
    """ISO 4217 code."""
    reason_code: str
    """Why."""
    ticket_id: str | None
    """Ticket that asked for it."""
    status: Literal["succeeded", "reversed"]
    """``reversed``: taken back later."""
    created_at: str
    """When it was made."""
    reversed_at: str | None
    """When it was taken back."""
    reversal_reason: str | None
    """Why it was taken back."""
    effect_key: str
    """Idempotency key of the write that made it."""
    run: str
    """The caller's run (``txn`` of its token) that made it."""
    order_version: int
    """Version of the order after the last change to this refund."""


class RefundList(Answer):
    """All refunds of one order, reversed ones too, oldest first."""

    order_id: str
    """Order."""
    refunds: tuple[Refund, ...]
    """Refunds."""


class RefundTotals(Answer):
    """How much of a payment went back and how much is left."""

    refunded_minor: int
    """Returned, in minor units."""
    refundable_minor: int
    """Returnable, in minor units."""


class RefundPreview(Answer):
    """What a refund would do, without doing it."""

    order_id: str
    """Order."""
    currency: str
    """ISO 4217 code."""
    amount_minor: int
    """Amount asked about, in minor units."""
    version: int
    """Version of the order that this is computed from."""
    destination: str
    """Account that would be paid."""
    before: RefundTotals
    """Now."""
    after: RefundTotals | None
    """Afterwards; null if it would be refused."""
    allowed: bool
    """Whether the refund would be made."""
    refusal: ErrorBody | None
    """Why it would be refused."""


class Effect(Answer):
    """What became of an idempotency key."""

    key: str
    """Key."""
    operation: str
    """Method and path template of the write."""
    arguments_sha256: str
    """Hex SHA-256 of the canonical arguments that were sent under it."""
    status_code: int
    """HTTP status that was answered."""
    response: dict[str, JsonValue]
    """Body that was answered."""
    created_at: str
    """When it was decided."""
