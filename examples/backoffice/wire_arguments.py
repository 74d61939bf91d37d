"""What callers send: one arguments object per endpoint.

For a write it is the JSON body; for a read it is the path and query parameters by name.
The token carries the digest of this object, so unknown fields are refused rather than ignored.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
EffectKey = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
AmountMinor = Annotated[int, Field(ge=1, le=10**12)]
TicketStatus = Literal["open", "pending", "solved"]
ReasonCode = Literal["damaged_item", "not_delivered", "wrong_item", "duplicate_charge", "customer_return", "goodwill"]


class Arguments(BaseModel):
    """Base of every arguments object."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TicketRef(Arguments):
    """Names one ticket."""

    ticket_id: Identifier
    """Ticket, e.g. ``TIC-2001``."""


class OrderRef(Arguments):
    """Names one order."""

    order_id: Identifier
    """Order, e.g. ``ORD-1001``."""


class CustomerRef(Arguments):
    """Names one customer."""

    customer_id: Identifier
    """Customer, e.g. ``CUS-301``."""


class RefundRef(Arguments):
    """Names one refund."""

    refund_id: Identifier
    """Refund, as returned when it was made."""


class EffectRef(Arguments):
    """Names the effect that a write asked for."""

    key: EffectKey
    """Idempotency key of the write."""


class PreviewArguments(Arguments):
    """A refund to be tried on paper."""

    order_id: Identifier
    """Order whose payment would be returned."""

    amount_minor: AmountMinor
    """Amount in minor units of the order's currency."""


class RefundArguments(Arguments):
    """A refund to be made. The money always goes back to the payment that it came from."""

    order_id: Identifier
    """Order whose payment is returned, in part or in full."""

    amount_minor: AmountMinor
    """Amount in minor units of ``currency``."""

    currency: Currency
    """ISO 4217 code; must be the order's."""

    reason_code: ReasonCode
    """Why, from a closed list."""

    ticket_id: Identifier | None = None
    """Ticket that asked for it, if one did."""


class ReversalArguments(Arguments):
    """The compensation of a refund."""

    refund_id: Identifier
    """Refund to take back."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """Why, for the books."""


class DraftArguments(Arguments):
    """A reply to be written down, not sent."""

    ticket_id: Identifier
    """Ticket that the reply belongs to."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=8000)]
    """Text as the customer would read it."""


class DraftRef(Arguments):
    """Names one draft of one ticket, to be sent or discarded."""

    ticket_id: Identifier
    """Ticket that the draft belongs to."""

    draft_id: Identifier
    """Draft, as returned when it was written."""


class StatusArguments(Arguments):
    """A new status for a ticket."""

    ticket_id: Identifier
    """Ticket to change."""

    status: TicketStatus
    """Status from now on."""


class RestorationArguments(Arguments):
    """Takes a change of status back, unless somebody has changed it since."""

    ticket_id: Identifier
    """Ticket to change."""

    status: TicketStatus
    """Status before that change."""

    expected_status: TicketStatus
    """Status that the change made: another one by now is somebody's later decision, and stays."""

    undoes_version: int = Field(ge=1)
    """Version of the ticket that the change made."""
