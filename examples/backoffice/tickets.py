"""Tickets: reading them, drafting and sending replies, changing their status."""

import secrets
import sqlite3

from examples.backoffice.books import Write
from examples.backoffice.effects import Applied
from examples.backoffice.errors import Refused
from examples.backoffice.wire_answers import Draft, Ticket, TicketStatusChange
from examples.backoffice.wire_arguments import (
    DraftArguments,
    DraftRef,
    RestorationArguments,
    StatusArguments,
    TicketRef,
)

SELECT_DRAFTS = """
    SELECT d.draft_id, d.ticket_id, d.text, d.status, c.email AS "to", d.created_at, d.sent_at, d.effect_key, d.run,
           d.ticket_version
    FROM replies d JOIN tickets t USING (tenant, ticket_id)
    JOIN customers c ON c.tenant = t.tenant AND c.customer_id = t.customer_id
    WHERE d.tenant = :tenant
"""


def list_drafts(connection: sqlite3.Connection, tenant: str, ticket_id: str | None) -> tuple[Draft, ...]:
    """Return the replies of one ticket, or of all, oldest first."""
    rows = connection.execute(
        SELECT_DRAFTS + " AND (:ticket_id IS NULL OR d.ticket_id = :ticket_id) ORDER BY d.created_at, d.rowid",
        {"tenant": tenant, "ticket_id": ticket_id},
    )
    return tuple(Draft(**dict(row)) for row in rows)


def read_ticket(connection: sqlite3.Connection, tenant: str, arguments: TicketRef) -> Ticket | Refused:
    """Answer GET /tickets/{ticket_id}."""
    row = connection.execute(
        """
        SELECT ticket_id, customer_id, order_id, subject, text, status, created_at, version
        FROM tickets WHERE tenant = ? AND ticket_id = ?
        """,
        (tenant, arguments.ticket_id),
    ).fetchone()
    if row is None:
        return _ticket_not_found(arguments.ticket_id)
    return Ticket(**dict(row), drafts=list_drafts(connection, tenant, arguments.ticket_id))


def write_draft(connection: sqlite3.Connection, write: Write, arguments: DraftArguments) -> Applied | Refused:
    """Do POST /tickets/{ticket_id}/drafts: keep a reply without sending it."""
    version = _raise_version(connection, write.tenant, arguments.ticket_id)
    if version is None:
        return _ticket_not_found(arguments.ticket_id)
    draft_id = f"RE-{secrets.token_hex(8)}"
    connection.execute(
        "INSERT INTO replies VALUES (?, ?, ?, ?, 'draft', ?, NULL, ?, ?, ?)",
        (
            write.tenant,
            draft_id,
            arguments.ticket_id,
            arguments.text,
            write.at,
            write.effect_key,
            write.token.txn,
            version,
        ),
    )
    return _applied(connection, write, 201, draft_id)


def send_reply(connection: sqlite3.Connection, write: Write, arguments: DraftRef) -> Applied | Refused:
    """Do POST /tickets/{ticket_id}/replies: the draft leaves the house. Nothing takes that back."""
    draft = _find_draft(connection, write.tenant, arguments.draft_id)
    if draft is None or draft.ticket_id != arguments.ticket_id:
        return _draft_not_found(arguments)
    if draft.status != "draft":
        return Refused(409, "draft_not_sendable", f"Reply {draft.draft_id} is {draft.status} already.")
    version = _raise_version(connection, write.tenant, draft.ticket_id)
    connection.execute(
        "UPDATE replies SET status = 'sent', sent_at = ?, ticket_version = ? WHERE tenant = ? AND draft_id = ?",
        (write.at, version, write.tenant, draft.draft_id),
    )
    return _applied(connection, write, 201, draft.draft_id)


def discard_draft(connection: sqlite3.Connection, write: Write, arguments: DraftRef) -> Applied | Refused:
    """Do POST /tickets/{ticket_id}/drafts/{draft_id}/discard: the compensation of a draft that was not sent."""
    draft = _find_draft(connection, write.tenant, arguments.draft_id)
    if draft is None or draft.ticket_id != arguments.ticket_id:
        return _draft_not_found(arguments)
    if draft.status != "draft":
        return Refused(409, "draft_not_discardable", f"Reply {draft.draft_id} is {draft.status} already.")
    version = _raise_version(connection, write.tenant, draft.ticket_id)
    connection.execute(
        "UPDATE replies SET status = 'discarded', ticket_version = ? WHERE tenant = ? AND draft_id = ?",
        (version, write.tenant, draft.draft_id),
    )
    return _applied(connection, write, 200, draft.draft_id)


def set_status(connection: sqlite3.Connection, write: Write, arguments: StatusArguments) -> Applied | Refused:
    """Do POST /tickets/{ticket_id}/status, and say what it was, so that it can be undone."""
    row = connection.execute(
        "SELECT status FROM tickets WHERE tenant = ? AND ticket_id = ?", (write.tenant, arguments.ticket_id)
    ).fetchone()
    version = _raise_version(connection, write.tenant, arguments.ticket_id)
    if row is None or version is None:
        return _ticket_not_found(arguments.ticket_id)
    connection.execute(
        "UPDATE tickets SET status = ? WHERE tenant = ? AND ticket_id = ?",
        (arguments.status, write.tenant, arguments.ticket_id),
    )
    change = TicketStatusChange(
        ticket_id=arguments.ticket_id, status=arguments.status, previous_status=row["status"], version=version
    )
    return Applied(200, arguments.ticket_id, change)


def restore_status(connection: sqlite3.Connection, write: Write, arguments: RestorationArguments) -> Applied | Refused:
    """Do POST /tickets/{ticket_id}/status/restoration: the compensation of a change of status."""
    row = connection.execute(
        "SELECT status, version FROM tickets WHERE tenant = ? AND ticket_id = ?", (write.tenant, arguments.ticket_id)
    ).fetchone()
    if row is None:
        return _ticket_not_found(arguments.ticket_id)
    if row["status"] != arguments.expected_status or row["version"] < arguments.undoes_version:
        return Refused(
            409, "ticket_changed", f"Ticket {arguments.ticket_id} is {row['status']} by now: somebody decided anew."
        )
    return set_status(connection, write, StatusArguments(ticket_id=arguments.ticket_id, status=arguments.status))


def _applied(connection: sqlite3.Connection, write: Write, status_code: int, draft_id: str) -> Applied:
    draft = _find_draft(connection, write.tenant, draft_id)
    if draft is None:
        raise LookupError(f"draft {draft_id} vanished inside its own transaction")
    return Applied(status_code, draft_id, draft)


def _find_draft(connection: sqlite3.Connection, tenant: str, draft_id: str) -> Draft | None:
    row = connection.execute(
        SELECT_DRAFTS + " AND d.draft_id = :draft_id", {"tenant": tenant, "draft_id": draft_id}
    ).fetchone()
    return None if row is None else Draft(**dict(row))


def _raise_version(connection: sqlite3.Connection, tenant: str, ticket_id: str) -> int | None:
    row = connection.execute(
        "UPDATE tickets SET version = version + 1 WHERE tenant = ? AND ticket_id = ? RETURNING version",
        (tenant, ticket_id),
    ).fetchone()
    return None if row is None else int(row["version"])


def _ticket_not_found(ticket_id: str) -> Refused:
    return Refused(404, "ticket_not_found", f"There is no ticket {ticket_id}.")


def _draft_not_found(arguments: DraftRef) -> Refused:
    return Refused(404, "draft_not_found", f"Ticket {arguments.ticket_id} has no reply {arguments.draft_id}.")
