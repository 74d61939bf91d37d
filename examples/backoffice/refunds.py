"""Refunds: made within what is left of a payment, and taken back."""

import secrets
import sqlite3
from dataclasses import dataclass

from examples.backoffice.books import Write
from examples.backoffice.effects import Applied
from examples.backoffice.errors import Refused
from examples.backoffice.orders import find_order, order_not_found
from examples.backoffice.wire_answers import ErrorBody, Order, Refund, RefundList, RefundPreview, RefundTotals
from examples.backoffice.wire_arguments import (
    OrderRef,
    PreviewArguments,
    RefundArguments,
    RefundRef,
    ReversalArguments,
)

SELECT_REFUNDS = """
    SELECT r.refund_id, r.order_id, p.payment_id, o.customer_id, p.account AS destination, r.amount_minor,
           o.currency, r.reason_code, r.ticket_id, r.status, r.created_at, r.reversed_at, r.reversal_reason,
           r.effect_key, r.run, r.order_version
    FROM refunds r JOIN orders o USING (tenant, order_id) JOIN payments p USING (tenant, order_id)
    WHERE r.tenant = :tenant
"""


@dataclass(frozen=True, slots=True)
class _OrderChange:
    """By how much the refunded total of an order moves."""

    order_id: str
    by_minor: int


def refusal_of(order: Order, amount_minor: int) -> Refused | None:
    """Decide whether a payment can give back this much. Pure."""
    if order.payment.status == "failed":
        return Refused(422, "payment_not_refundable", f"No money arrived for order {order.order_id}.")
    if amount_minor > order.refundable_minor:
        left = f"{order.refundable_minor} of {order.payment.captured_minor} minor units {order.currency} are left"
        return Refused(422, "refund_exceeds_remaining", f"{left} to refund on order {order.order_id}.")
    return None


def find_refund(connection: sqlite3.Connection, tenant: str, refund_id: str) -> Refund | None:
    """Return one refund of the tenant."""
    row = connection.execute(
        SELECT_REFUNDS + " AND r.refund_id = :refund_id", {"tenant": tenant, "refund_id": refund_id}
    ).fetchone()
    return None if row is None else Refund(**dict(row))


def list_refunds(connection: sqlite3.Connection, tenant: str, order_id: str | None) -> tuple[Refund, ...]:
    """Return the refunds of one order, or of all, oldest first."""
    rows = connection.execute(
        SELECT_REFUNDS + " AND (:order_id IS NULL OR r.order_id = :order_id) ORDER BY r.created_at, r.rowid",
        {"tenant": tenant, "order_id": order_id},
    )
    return tuple(Refund(**dict(row)) for row in rows)


def read_refund(connection: sqlite3.Connection, tenant: str, arguments: RefundRef) -> Refund | Refused:
    """Answer GET /refunds/{refund_id}."""
    return find_refund(connection, tenant, arguments.refund_id) or _refund_not_found(arguments.refund_id)


def read_refunds(connection: sqlite3.Connection, tenant: str, arguments: OrderRef) -> RefundList | Refused:
    """Answer GET /orders/{order_id}/refunds and GET /refunds?order_id=…."""
    if find_order(connection, tenant, arguments.order_id) is None:
        return order_not_found(arguments.order_id)
    return RefundList(order_id=arguments.order_id, refunds=list_refunds(connection, tenant, arguments.order_id))


def preview_refund(connection: sqlite3.Connection, tenant: str, arguments: PreviewArguments) -> RefundPreview | Refused:
    """Answer GET /orders/{order_id}/refund-preview: totals before and after, and the version they hold for."""
    order = find_order(connection, tenant, arguments.order_id)
    if order is None:
        return order_not_found(arguments.order_id)
    refusal = refusal_of(order, arguments.amount_minor)
    before = RefundTotals(refunded_minor=order.refunded_minor, refundable_minor=order.refundable_minor)
    after = RefundTotals(
        refunded_minor=order.refunded_minor + arguments.amount_minor,
        refundable_minor=order.refundable_minor - arguments.amount_minor,
    )
    return RefundPreview(
        order_id=order.order_id,
        currency=order.currency,
        amount_minor=arguments.amount_minor,
        version=order.version,
        destination=order.payment.account,
        before=before,
        after=after if refusal is None else None,
        allowed=refusal is None,
        refusal=None if refusal is None else ErrorBody(code=refusal.code, message=refusal.message),
    )


def make_refund(connection: sqlite3.Connection, write: Write, arguments: RefundArguments) -> Applied | Refused:
    """Do POST /refunds. The write lock is held, so what is left of the payment cannot change underneath."""
    order = find_order(connection, write.tenant, arguments.order_id)
    if order is None:
        return order_not_found(arguments.order_id)
    if order.currency != arguments.currency:
        return Refused(422, "currency_mismatch", f"Order {order.order_id} was paid in {order.currency}.")
    if arguments.ticket_id is not None and not _has_ticket(connection, write.tenant, arguments.ticket_id):
        return Refused(404, "ticket_not_found", f"There is no ticket {arguments.ticket_id}.")
    refusal = refusal_of(order, arguments.amount_minor)
    if refusal is not None:
        return refusal
    version = _move_total(connection, write.tenant, _OrderChange(order.order_id, arguments.amount_minor))
    refund_id = f"RF-{secrets.token_hex(8)}"
    connection.execute(
        """
        INSERT INTO refunds VALUES (:tenant, :refund_id, :order_id, :amount_minor, :reason_code, :ticket_id,
                                    'succeeded', :at, NULL, NULL, :effect_key, :run, :version)
        """,
        {
            "tenant": write.tenant,
            "refund_id": refund_id,
            "order_id": order.order_id,
            "amount_minor": arguments.amount_minor,
            "reason_code": arguments.reason_code,
            "ticket_id": arguments.ticket_id,
            "at": write.at,
            "effect_key": write.effect_key,
            "run": write.token.txn,
            "version": version,
        },
    )
    return _applied(connection, write, 201, refund_id)


def reverse_refund(connection: sqlite3.Connection, write: Write, arguments: ReversalArguments) -> Applied | Refused:
    """Do POST /refunds/{refund_id}/reversal: the money counts as ours again."""
    refund = find_refund(connection, write.tenant, arguments.refund_id)
    if refund is None:
        return _refund_not_found(arguments.refund_id)
    if refund.status == "reversed":
        return Refused(409, "refund_already_reversed", f"Refund {refund.refund_id} was reversed already.")
    version = _move_total(connection, write.tenant, _OrderChange(refund.order_id, -refund.amount_minor))
    connection.execute(
        """
        UPDATE refunds SET status = 'reversed', reversed_at = ?, reversal_reason = ?, order_version = ?
        WHERE tenant = ? AND refund_id = ?
        """,
        (write.at, arguments.reason, version, write.tenant, refund.refund_id),
    )
    return _applied(connection, write, 200, refund.refund_id)


def _applied(connection: sqlite3.Connection, write: Write, status_code: int, refund_id: str) -> Applied:
    refund = find_refund(connection, write.tenant, refund_id)
    if refund is None:
        raise LookupError(f"refund {refund_id} vanished inside its own transaction")
    return Applied(status_code, refund_id, refund)


def _move_total(connection: sqlite3.Connection, tenant: str, change: _OrderChange) -> int:
    connection.execute(
        "UPDATE payments SET refunded_minor = refunded_minor + ? WHERE tenant = ? AND order_id = ?",
        (change.by_minor, tenant, change.order_id),
    )
    row = connection.execute(
        "UPDATE orders SET version = version + 1 WHERE tenant = ? AND order_id = ? RETURNING version",
        (tenant, change.order_id),
    ).fetchone()
    return int(row["version"])


def _has_ticket(connection: sqlite3.Connection, tenant: str, ticket_id: str) -> bool:
    row = connection.execute("SELECT 1 FROM tickets WHERE tenant = ? AND ticket_id = ?", (tenant, ticket_id))
    return row.fetchone() is not None


def _refund_not_found(refund_id: str) -> Refused:
    return Refused(404, "refund_not_found", f"There is no refund {refund_id}.")
