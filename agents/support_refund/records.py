"""What the back office is asked and what it answers, as far as this agent may see it.

Fields are left out on purpose: names, addresses and account numbers never reach the model.
"""

from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from contracts.base import JsonObject, Record
from contracts.tool import Ambiguous, Rejected

__all__ = [
    "Draft",
    "DraftRef",
    "DraftReply",
    "IssueRefund",
    "Order",
    "OrderItem",
    "OrderRef",
    "Refund",
    "RefundPreview",
    "RestoreStatus",
    "ReverseRefund",
    "SetStatus",
    "Ticket",
    "TicketRef",
    "TicketStatus",
    "reading",
    "written",
]

TicketId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
OrderId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
RefundId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
DraftId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ReasonCode = Literal["damaged_item", "not_delivered", "wrong_item", "duplicate_charge", "customer_return", "goodwill"]

REFUND_MINOR_MAX = 100_000_000
"""One million in a currency with cents: far above any order, far below what any counter overflows at."""


class TicketRef(Record):
    """Which ticket."""

    ticket_id: TicketId
    """Id of the ticket, as the event names it."""


class Ticket(Record):
    """A support ticket."""

    ticket_id: str
    customer_id: str
    order_id: str | None
    """Order that the help desk linked to the ticket; null when there is none."""
    subject: str
    """Written by the customer."""
    text: str
    """Written by the customer."""
    status: str
    created_at: str


class OrderRef(Record):
    """Which order."""

    order_id: OrderId
    """Id of the order, as the ticket's `order_id` names it."""


class OrderItem(Record):
    """A line of an order."""

    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    """Price of one, in minor units."""


class Order(Record):
    """An order and what of it can still be refunded."""

    order_id: str
    customer_id: str
    status: str
    """paid, shipped, delivered or cancelled."""
    currency: str
    """ISO 4217 code."""
    total_minor: int
    items: tuple[OrderItem, ...]
    payment_status: str
    """captured, partially_refunded, refunded or failed."""
    refunded_minor: int
    refundable_minor: int
    """The most that a refund may be, in minor units."""
    placed_at: str


class IssueRefund(Record):
    """A refund to the account that the order was paid from."""

    order_id: OrderId
    """The ticket's order."""
    amount_minor: int = Field(ge=1, le=REFUND_MINOR_MAX)
    """Amount in minor units (cents): 2490 is 24.90. Never above the order's `refundable_minor`."""
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """The order's currency, an ISO 4217 code."""
    reason_code: ReasonCode
    """Why the customer gets money back."""
    ticket_id: TicketId
    """The ticket that asks for it."""


class Refund(Record):
    """A refund as booked."""

    refund_id: str
    order_id: str
    amount_minor: int
    currency: str
    reason_code: str
    ticket_id: str | None
    status: str
    """succeeded or reversed."""
    created_at: str


class RefundPreview(Record):
    """What a refund would change, as the back office computes it."""

    order_id: str
    currency: str
    version: int
    """Version of the order that this holds for."""
    destination: str
    """Account that the money would go to: the one that the order was paid from."""
    before: JsonObject
    """refunded_minor and refundable_minor now."""
    after: JsonObject | None
    """The same after the refund; null when it is not allowed."""
    allowed: bool
    refusal: JsonObject | None = None
    """Code and message, when it is not allowed."""


class ReverseRefund(Record):
    """Which refund to take back, and why."""

    refund_id: RefundId
    reason: str = Field(min_length=1, max_length=500)
    """For the books."""


class DraftReply(Record):
    """A reply to the customer, to be read and sent by a person."""

    ticket_id: TicketId
    """The ticket."""
    text: str = Field(min_length=1, max_length=4_000)
    """The whole reply, in the customer's language, without internal notes."""


class Draft(Record):
    """A draft as stored with the ticket, without its text.

    Outputs count as trusted records: a field that gives back what the model wrote would make the model's words one, and
    an order id that it wrote into a draft could then be refunded.
    """

    draft_id: str
    ticket_id: str
    status: str
    """draft, sent or discarded."""
    created_at: str


class DraftRef(Record):
    """Which draft."""

    ticket_id: TicketId
    draft_id: DraftId


class SetStatus(Record):
    """The new status of a ticket."""

    ticket_id: TicketId
    """The ticket."""
    status: Literal["pending", "solved"]
    """pending: somebody must still act; solved: nothing is left to do."""


class RestoreStatus(Record):
    """Puts a ticket back to the status that it had."""

    ticket_id: TicketId
    status: Literal["open", "pending", "solved"]
    """As it was before the change."""
    expected_status: Literal["open", "pending", "solved"]
    """As the change left it; another one by now is left alone."""
    undoes_version: int = Field(ge=1)
    """Version of the ticket that the change made."""


class TicketStatus(Record):
    """The status of a ticket after a change."""

    ticket_id: str
    status: str
    previous_status: str
    version: int
    """Version of the ticket after the change."""


AnswerT = TypeVar("AnswerT", bound=BaseModel)


def reading(model: type[AnswerT], body: object, **values: object) -> AnswerT:
    """The fields of a model out of an answer; the rest of the answer stays outside.

    Raises:
        Rejected: the answer lacks something. A read has no effect, so nothing is unclear.
    """
    try:
        return _picked(model, body, values)
    except ValidationError as error:
        raise Rejected(_unreadable(model, error), code="answer_unreadable") from None


def written(model: type[AnswerT], body: object) -> AnswerT:
    """As `reading`, of the answer to a write.

    Raises:
        Ambiguous: the answer lacks something: the write was accepted, but as what cannot be said.
    """
    try:
        return _picked(model, body, {})
    except ValidationError as error:
        raise Ambiguous(_unreadable(model, error), code="answer_unreadable") from None


def _picked(model: type[AnswerT], body: object, values: dict[str, object]) -> AnswerT:
    given = cast("JsonObject", body) if isinstance(body, dict) else {}
    chosen: dict[str, Any] = {name: given[name] for name in model.model_fields if name in given}
    return model.model_validate({**chosen, **values})


def _unreadable(model: type[BaseModel], error: ValidationError) -> str:
    fields = ", ".join(sorted({".".join(map(str, detail["loc"])) for detail in error.errors()}))
    return f"the back office's answer is no {model.__name__}: {fields or 'not an object'}"
