"""Every endpoint that a token can call, in one table: where, with which scope and arguments, doing what."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from examples.backoffice import orders, refunds, tickets, wire_answers, wire_arguments
from examples.backoffice.books import Write, find_answer
from examples.backoffice.effects import Applied
from examples.backoffice.errors import Refused

ArgumentsT = TypeVar("ArgumentsT", bound=wire_arguments.Arguments)


@dataclass(frozen=True, slots=True)
class Read(Generic[ArgumentsT]):
    """An endpoint that only looks. Its arguments are the path and query parameters by name."""

    path: str
    scope: str
    arguments: type[ArgumentsT]
    answer: type[wire_answers.Answer]
    perform: Callable[[sqlite3.Connection, str, ArgumentsT], wire_answers.Answer | Refused]

    @property
    def name(self) -> str:
        """Method and path template."""
        return f"GET {self.path}"


@dataclass(frozen=True, slots=True)
class Change(Generic[ArgumentsT]):
    """An endpoint with an effect. Its arguments are the JSON body."""

    path: str
    scope: str
    arguments: type[ArgumentsT]
    answer: type[wire_answers.Answer]
    perform: Callable[[sqlite3.Connection, Write, ArgumentsT], Applied | Refused]
    status_code: Literal[200, 201] = 201

    @property
    def name(self) -> str:
        """Method and path template; remembered with each idempotency key."""
        return f"POST {self.path}"


def read_effect(
    connection: sqlite3.Connection, tenant: str, arguments: wire_arguments.EffectRef
) -> wire_answers.Effect | Refused:
    """Answer GET /effects/{key}: what became of a write whose answer was lost."""
    stored = find_answer(connection, tenant, arguments.key)
    if stored is None:
        return Refused(404, "effect_not_found", "No write was decided under this key.")
    return wire_answers.Effect(
        key=arguments.key,
        operation=stored.operation,
        arguments_sha256=stored.arguments_sha256,
        status_code=stored.status_code,
        response=json.loads(stored.response),
        created_at=stored.created_at,
    )


# Any: each row pairs its own arguments model with its own function; the constructors check the pairing.
READS: tuple[Read[Any], ...] = (
    Read("/tickets/{ticket_id}", "tickets:read", wire_arguments.TicketRef, wire_answers.Ticket, tickets.read_ticket),
    Read("/orders/{order_id}", "orders:read", wire_arguments.OrderRef, wire_answers.Order, orders.read_order),
    Read(
        "/customers/{customer_id}",
        "customers:read",
        wire_arguments.CustomerRef,
        wire_answers.Customer,
        orders.read_customer,
    ),
    Read(
        "/orders/{order_id}/refunds",
        "refunds:read",
        wire_arguments.OrderRef,
        wire_answers.RefundList,
        refunds.read_refunds,
    ),
    Read(
        "/orders/{order_id}/refund-preview",
        "refunds:read",
        wire_arguments.PreviewArguments,
        wire_answers.RefundPreview,
        refunds.preview_refund,
    ),
    Read("/refunds", "refunds:read", wire_arguments.OrderRef, wire_answers.RefundList, refunds.read_refunds),
    Read("/refunds/{refund_id}", "refunds:read", wire_arguments.RefundRef, wire_answers.Refund, refunds.read_refund),
    Read("/effects/{key:path}", "effects:read", wire_arguments.EffectRef, wire_answers.Effect, read_effect),
)

CHANGES: tuple[Change[Any], ...] = (
    Change("/refunds", "refunds:write", wire_arguments.RefundArguments, wire_answers.Refund, refunds.make_refund),
    Change(
        "/refunds/{refund_id}/reversal",
        "refunds:write",
        wire_arguments.ReversalArguments,
        wire_answers.Refund,
        refunds.reverse_refund,
        200,
    ),
    Change(
        "/tickets/{ticket_id}/drafts",
        "tickets:write",
        wire_arguments.DraftArguments,
        wire_answers.Draft,
        tickets.write_draft,
    ),
    Change(
        "/tickets/{ticket_id}/drafts/{draft_id}/discard",
        "tickets:write",
        wire_arguments.DraftRef,
        wire_answers.Draft,
        tickets.discard_draft,
        200,
    ),
    Change(
        "/tickets/{ticket_id}/replies",
        "tickets:send",
        wire_arguments.DraftRef,
        wire_answers.Draft,
        tickets.send_reply,
    ),
    Change(
        "/tickets/{ticket_id}/status",
        "tickets:write",
        wire_arguments.StatusArguments,
        wire_answers.TicketStatusChange,
        tickets.set_status,
        200,
    ),
    Change(
        "/tickets/{ticket_id}/status/restoration",
        "tickets:write",
        wire_arguments.RestorationArguments,
        wire_answers.TicketStatusChange,
        tickets.restore_status,
        200,
    ),
)
