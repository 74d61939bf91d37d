"""The seed document, and filling a database from it."""

import json
import sqlite3
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from examples.backoffice.wire_answers import OrderItem
from examples.backoffice.wire_arguments import AmountMinor, Currency, Identifier, ReasonCode, TicketStatus

TENANTS_MAX = 20
RECORDS_MAX = 20_000

# Children before parents, because foreign keys are on. used_jtis stays: forgetting spent tokens would revive them.
RESET_ORDER = (
    "access_log",
    "faults",
    "revocations",
    "epochs",
    "idempotency_keys",
    "replies",
    "refunds",
    "tickets",
    "payments",
    "orders",
    "customers",
    "tenants",
)


class _SeedModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SeedCustomer(_SeedModel):
    """A customer as seeded."""

    customer_id: Identifier
    """Identifier."""
    name: str
    """Full name."""
    email: str
    """Address that replies go to."""
    iban: str
    """Account number on file."""
    country: str
    """ISO 3166 code."""
    since: str
    """Day of the first order."""


class SeedPayment(_SeedModel):
    """The payment of a seeded order."""

    payment_id: Identifier
    """Identifier."""
    method: Literal["sepa_debit", "card"]
    """How it was paid."""
    account: str
    """Account that paid and that a refund goes to."""
    captured_minor: Annotated[int, Field(ge=0)]
    """Amount that arrived, in minor units; 0 for a failed payment."""


class SeedRefund(_SeedModel):
    """A refund that was made before the story begins."""

    refund_id: Identifier
    """Identifier."""
    amount_minor: AmountMinor
    """Amount in minor units."""
    reason_code: ReasonCode
    """Why."""
    created_at: str
    """When."""


class SeedOrder(_SeedModel):
    """An order as seeded."""

    order_id: Identifier
    """Identifier."""
    customer_id: Identifier
    """Buyer."""
    status: Literal["paid", "shipped", "delivered", "cancelled"]
    """Where the goods are."""
    currency: Currency
    """ISO 4217 code of all its amounts."""
    placed_at: str
    """When it was placed."""
    items: tuple[OrderItem, ...]
    """Lines."""
    payment: SeedPayment
    """Payment."""
    refunds: tuple[SeedRefund, ...] = ()
    """Earlier refunds."""


class SeedTicket(_SeedModel):
    """A ticket as seeded."""

    ticket_id: Identifier
    """Identifier."""
    customer_id: Identifier
    """Author."""
    order_id: Identifier | None = None
    """Order that the portal attached."""
    subject: str
    """Customer's words."""
    text: str
    """Customer's words."""
    status: TicketStatus = "open"
    """Where the work on it stands."""
    created_at: str
    """When it was written."""


class SeedTenant(_SeedModel):
    """One tenant's records."""

    customers: Annotated[tuple[SeedCustomer, ...], Field(max_length=RECORDS_MAX)]
    """Customers."""
    orders: Annotated[tuple[SeedOrder, ...], Field(max_length=RECORDS_MAX)] = ()
    """Orders with payments."""
    tickets: Annotated[tuple[SeedTicket, ...], Field(max_length=RECORDS_MAX)] = ()
    """Tickets."""


class SeedDocument(_SeedModel):
    """The whole seed: what a reset returns to."""

    tenants: Annotated[dict[Identifier, SeedTenant], Field(min_length=1, max_length=TENANTS_MAX)]
    """Records by tenant."""


def load_seed(path: Path) -> SeedDocument:
    """Read a seed document. Raises OSError, yaml.YAMLError or pydantic.ValidationError, which name the mistake."""
    text = path.read_text(encoding="utf-8")
    # libyaml reads the seed in a tenth of the time; both loaders build plain data only.
    plain = yaml.load(text, yaml.CSafeLoader) if yaml.__with_libyaml__ else yaml.safe_load(text)
    return SeedDocument.model_validate(plain)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Tell whether the database was never seeded."""
    return connection.execute("SELECT 1 FROM tenants LIMIT 1").fetchone() is None


def reset(connection: sqlite3.Connection, document: SeedDocument) -> None:
    """Replace everything by the seed. Runs in the caller's transaction, so that nobody sees half of it."""
    for table in RESET_ORDER:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the constant above
    for tenant, records in document.tenants.items():
        add_tenant(connection, tenant, records)


def add_tenant(connection: sqlite3.Connection, tenant: str, records: SeedTenant) -> None:
    """Add one tenant with its records. Raises sqlite3.IntegrityError: it exists, or the records do not fit together."""
    connection.execute("INSERT INTO tenants VALUES (?)", (tenant,))
    connection.executemany(
        "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(tenant, c.customer_id, c.name, c.email, c.iban, c.country, c.since) for c in records.customers],
    )
    for order in records.orders:
        _insert_order(connection, tenant, order)
    connection.executemany(
        "INSERT INTO tickets VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
        [
            (tenant, t.ticket_id, t.customer_id, t.order_id, t.subject, t.text, t.status, t.created_at)
            for t in records.tickets
        ],
    )


def _insert_order(connection: sqlite3.Connection, tenant: str, order: SeedOrder) -> None:
    version = 1 + len(order.refunds)
    items = json.dumps([item.model_dump(mode="json") for item in order.items])
    connection.execute(
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (tenant, order.order_id, order.customer_id, order.status, order.currency, items, order.placed_at, version),
    )
    payment = order.payment
    refunded_minor = sum(refund.amount_minor for refund in order.refunds)
    connection.execute(
        "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            tenant,
            order.order_id,
            payment.payment_id,
            payment.method,
            payment.account,
            payment.captured_minor,
            refunded_minor,
        ),
    )
    connection.executemany(
        """
        INSERT INTO refunds VALUES (:tenant, :refund_id, :order_id, :amount_minor, :reason_code, NULL, 'succeeded',
                                    :created_at, NULL, NULL, 'seed/' || :refund_id, 'seed', :version)
        """,
        [
            {"tenant": tenant, "order_id": order.order_id, "version": 1 + position, **refund.model_dump()}
            for position, refund in enumerate(order.refunds, start=1)
        ],
    )
