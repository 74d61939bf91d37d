"""The books of one tenant: what a test or an auditor compares with what should have happened."""

import sqlite3
from typing import Literal

from examples.backoffice.database import Database
from examples.backoffice.errors import ApiError
from examples.backoffice.refunds import list_refunds
from examples.backoffice.tickets import list_drafts
from examples.backoffice.wire_answers import Answer, Draft, Refund


class LogEntry(Answer):
    """A write that was decided."""

    at: str
    """When."""
    subject: str
    """Who asked."""
    actor: str | None
    """Agent that acted, when the subject is a user."""
    run: str
    """The caller's run."""
    jti: str
    """Token that was spent."""
    operation: str
    """Method and path template."""
    effect_key: str
    """Idempotency key."""
    status_code: int
    """Answer."""
    resource_id: str | None
    """What was made or changed."""


class TicketState(Answer):
    """Where a ticket stands."""

    ticket_id: str
    """Ticket."""
    status: str
    """Status."""
    version: int
    """Version."""


class OrderState(Answer):
    """Where the money of an order stands."""

    order_id: str
    """Order."""
    currency: str
    """ISO 4217 code."""
    captured_minor: int
    """Paid, in minor units."""
    refunded_minor: int
    """Given back, in minor units."""
    version: int
    """Version."""


class Books(Answer):
    """Everything that happened to one tenant."""

    tenant: str
    """Tenant."""
    refunds: tuple[Refund, ...]
    """Refunds, reversed and seeded ones too."""
    drafts: tuple[Draft, ...]
    """Replies in every status."""
    tickets: tuple[TicketState, ...]
    """Tickets."""
    orders: tuple[OrderState, ...]
    """Orders."""
    effects: tuple[LogEntry, ...]
    """Writes that did something."""
    refused: tuple[LogEntry, ...]
    """Writes that were declined."""
    replayed: tuple[LogEntry, ...]
    """Writes that were answered from memory."""


def read_books(database: Database, tenant: str) -> Books:
    """Return what happened to one tenant, in one snapshot. Raises ApiError 404."""
    with database.read() as connection:
        if connection.execute("SELECT 1 FROM tenants WHERE tenant = ?", (tenant,)).fetchone() is None:
            raise ApiError(404, "not_found", f"There is no tenant {tenant}.")
        tickets = connection.execute(
            "SELECT ticket_id, status, version FROM tickets WHERE tenant = ? ORDER BY ticket_id", (tenant,)
        )
        orders = connection.execute(
            """
            SELECT order_id, currency, captured_minor, refunded_minor, version
            FROM orders JOIN payments USING (tenant, order_id) WHERE tenant = ? ORDER BY order_id
            """,
            (tenant,),
        )
        return Books(
            tenant=tenant,
            refunds=list_refunds(connection, tenant, None),
            drafts=list_drafts(connection, tenant, None),
            tickets=tuple(TicketState(**dict(row)) for row in tickets),
            orders=tuple(OrderState(**dict(row)) for row in orders),
            effects=_entries(connection, tenant, "applied"),
            refused=_entries(connection, tenant, "refused"),
            replayed=_entries(connection, tenant, "replayed"),
        )


def _entries(
    connection: sqlite3.Connection, tenant: str, verdict: Literal["applied", "refused", "replayed"]
) -> tuple[LogEntry, ...]:
    rows = connection.execute(
        """
        SELECT at, subject, actor, run, jti, operation, effect_key, status_code, resource_id
        FROM access_log WHERE tenant = ? AND verdict = ? ORDER BY entry_id
        """,
        (tenant, verdict),
    )
    return tuple(LogEntry(**dict(row)) for row in rows)
