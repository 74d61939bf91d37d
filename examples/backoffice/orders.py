"""Customers and orders: reading them."""

import json
import sqlite3
from typing import Literal

from examples.backoffice.errors import Refused
from examples.backoffice.wire_answers import Customer, Order, OrderItem, Payment
from examples.backoffice.wire_arguments import CustomerRef, OrderRef

PaymentStatus = Literal["captured", "partially_refunded", "refunded", "failed"]


def order_not_found(order_id: str) -> Refused:
    """Build the refusal for an order that this tenant does not have, whoever else may have it."""
    return Refused(404, "order_not_found", f"There is no order {order_id}.")


def find_order(connection: sqlite3.Connection, tenant: str, order_id: str) -> Order | None:
    """Return an order with its items and payment."""
    row = connection.execute(
        """
        SELECT o.order_id, o.customer_id, o.status, o.currency, o.items, o.placed_at, o.version,
               p.payment_id, p.method, p.account, p.captured_minor, p.refunded_minor
        FROM orders o JOIN payments p USING (tenant, order_id)
        WHERE o.tenant = ? AND o.order_id = ?
        """,
        (tenant, order_id),
    ).fetchone()
    if row is None:
        return None
    items = tuple(OrderItem.model_validate(item) for item in json.loads(row["items"]))
    payment = Payment(
        payment_id=row["payment_id"],
        method=row["method"],
        account=row["account"],
        captured_minor=row["captured_minor"],
        status=_payment_status(row["captured_minor"], row["refunded_minor"]),
    )
    return Order(
        order_id=row["order_id"],
        customer_id=row["customer_id"],
        status=row["status"],
        currency=row["currency"],
        total_minor=sum(item.quantity * item.unit_price_minor for item in items),
        items=items,
        payment=payment,
        refunded_minor=row["refunded_minor"],
        refundable_minor=row["captured_minor"] - row["refunded_minor"],
        placed_at=row["placed_at"],
        version=row["version"],
    )


def read_order(connection: sqlite3.Connection, tenant: str, arguments: OrderRef) -> Order | Refused:
    """Answer GET /orders/{order_id}."""
    return find_order(connection, tenant, arguments.order_id) or order_not_found(arguments.order_id)


def read_customer(connection: sqlite3.Connection, tenant: str, arguments: CustomerRef) -> Customer | Refused:
    """Answer GET /customers/{customer_id}."""
    key = (tenant, arguments.customer_id)
    row = connection.execute(
        """
        SELECT customer_id, name, email, iban, country, since FROM customers
        WHERE tenant = ? AND customer_id = ?
        """,
        key,
    ).fetchone()
    if row is None:
        return Refused(404, "customer_not_found", f"There is no customer {arguments.customer_id}.")
    orders = connection.execute(
        "SELECT order_id FROM orders WHERE tenant = ? AND customer_id = ? ORDER BY placed_at, order_id", key
    )
    order_ids = tuple(order["order_id"] for order in orders)
    tickets = connection.execute(
        "SELECT ticket_id FROM tickets WHERE tenant = ? AND customer_id = ? ORDER BY created_at, ticket_id", key
    )
    return Customer(**dict(row), order_ids=order_ids, ticket_ids=tuple(ticket["ticket_id"] for ticket in tickets))


def _payment_status(captured_minor: int, refunded_minor: int) -> PaymentStatus:
    if captured_minor == 0:
        return "failed"
    if refunded_minor == 0:
        return "captured"
    return "refunded" if refunded_minor == captured_minor else "partially_refunded"
