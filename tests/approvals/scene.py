"""A request for a large refund, people who may decide it, and the settings of an approvals process."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey
from pydantic import SecretStr

from contracts.agent import ApprovalTimes, Stage
from contracts.approval import ApprovalBasis, ApprovalView, EvidenceItem, Moments
from contracts.base import JsonObject
from contracts.canonical import digest, digest_bytes, run_id_for
from contracts.decision import GroupCount, Reason, Requirement
from contracts.vote import Verdict
from settings import Settings
from store.accounts import NewAccount, Role, add_account
from store.approvals import StoredRequest, open_request
from store.database import Database
from store.revisions import keep_schema

TENANT = "acme"
PASSWORD = "correct horse battery"
ONE_LEAD = Requirement(id="one-support-lead", needs=(GroupCount(group="support-leads", count=1),))
TWO_FINANCE = Requirement(id="two-finance", needs=(GroupCount(group="finance", count=2),))
SOME_DIGEST = digest_bytes(b"")
ARGUMENTS: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["order_id", "amount_minor", "currency", "reason_code"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "The customer's order."},
        "amount_minor": {"type": "integer", "minimum": 1, "maximum": 100_000_000, "description": "In minor units."},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "reason_code": {"type": "string", "enum": ["late_delivery", "damaged_item", "goodwill"]},
        "note": {"anyOf": [{"type": "string", "maxLength": 200}, {"type": "null"}], "default": None},
    },
}
"""Schema of the refund's arguments."""


@dataclass(frozen=True)
class Person:
    """Somebody with a local account."""

    username: str
    groups: tuple[str, ...]
    roles: tuple[Role, ...] = ("view", "approve")
    person: str = ""
    tenant: str = TENANT


LENA = Person("lena", ("support-leads",))
FRED = Person("fred", ("finance",))
FIONA = Person("fiona", ("finance",))
VERA = Person("vera", ("finance",), ("view",))
EVE = Person("eve", ("support-leads", "finance"), tenant="other")


def settings_for(url: str, folder: Path, *, port: int = 8400, **more: Any) -> Settings:  # noqa: ANN401 - any setting
    """Settings of an approvals process with keys of its own."""
    keys = folder / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    if not (keys / "vote.jwk").exists():
        key = OKPKey.generate_key("Ed25519").as_dict(private=True)
        (keys / "vote.jwk").write_text(json.dumps(key))
        (keys / "session.secret").write_text(secrets.token_hex(32))
    return Settings(database_url=SecretStr(url), state_dir=folder, web_port=port, **more)


async def add_people(database: Database, *people: Person) -> None:
    """Create their accounts, all with the same password."""
    for one in people:
        new = NewAccount(
            tenant=one.tenant,
            username=one.username,
            person=one.person or one.username,
            display_name=one.username.capitalize(),
            groups=one.groups,
            roles=one.roles,
        )
        async with database.tenant(one.tenant) as cursor:
            await add_account(cursor, new, PASSWORD)


_PROVENANCE: dict[str, JsonObject] = {
    "order_id": {
        "label": "trusted",
        "source": "crm.read_ticket#2",
        "path": "order_id",
        "how": "exact",
        "via": "crm.read_ticket#2 has it beside ticket_id 'tck_502': the event states it at data.ticket_id",
        "also": "crm.read_ticket#2 body",
    },
    "amount_minor": {
        "label": "trusted",
        "source": "orders.get_status#4",
        "path": "total_minor",
        "how": "exact",
    },
    "currency": {"label": "trusted", "source": "orders.get_status#4", "path": "currency", "how": "exact"},
    "reason_code": {"label": "model", "source": "", "path": "", "how": ""},
    "note": {
        "label": "untrusted",
        "source": "crm.read_ticket#2",
        "path": "body",
        "how": "inside",
        "parts": [{"label": "untrusted", "part": "www.example.test", "source": "crm.read_ticket#2"}],
    },
}


def refund_view(run_id: str, **changes: Any) -> ApprovalView:  # noqa: ANN401 - any field of the view
    """What the agent asks: a refund of EUR 480.00 for a late order."""
    values: JsonObject = {
        "order_id": "ord_2002",
        "amount_minor": 48_000,
        "currency": "EUR",
        "reason_code": "late_delivery",
        "note": "Delivery 12 days late; customer asked for the whole price back.",
    }
    ticket: JsonObject = {
        "ticket_id": "tck_502",
        "customer_id": "cus_77",
        "order_id": "ord_2002",
        "subject": "Where is my sofa?",
        "body": "Hi, the sofa came 12 days late and I had to take two days off. I want all my money back. Ana",
    }
    order: JsonObject = {
        "order_id": "ord_2002",
        "status": "delivered",
        "total_minor": 48_000,
        "refunded_minor": 0,
        "currency": "EUR",
        "delivered_at": "2026-11-14T09:12:00Z",
        "promised_at": "2026-11-02",
    }
    view = ApprovalView(
        tenant=TENANT,
        run_id=run_id,
        agent="support_refund",
        agent_version=3,
        agent_owner="payments-oncall",
        stage=Stage.GATED_WRITES,
        tool="payments.issue_refund",
        tool_version=2,
        tool_description="Refund an order to the customer's original payment method.",
        tier=3,
        arguments=values,
        provenance=_PROVENANCE,
        before={"refunded_minor": 0, "refundable_minor": 48_000, "status": "delivered", "currency": "EUR"},
        after={"refunded_minor": 48_000, "refundable_minor": 0, "status": "delivered", "currency": "EUR"},
        resource_type="Order",
        resource_id="ord_2002",
        resource_version="v7",
        reversible_by="",
        customer_visible=True,
        money_minor=48_000,
        currency="EUR",
        asked_by="agent support_refund, for event tck_502 of support-tickets",
        on_behalf_of=None,
        requirement=ONE_LEAD,
        reasons=(Reason(policy="support-refund-over-50-eur", text="A refund above 50.00 EUR needs a support lead."),),
        bundle_digest=SOME_DIGEST,
        model_reason="The order came 12 days late and the customer asks for a full refund, which the terms allow.",
        served_model="scripted-2026-11",
        evidence=(
            EvidenceItem(step=1, call=0, tool="crm.read_ticket", label="untrusted", output=ticket),
            EvidenceItem(step=2, call=0, tool="orders.get_status", label="trusted", output=order),
        ),
    )
    return ApprovalView.model_validate({**view.model_dump(), **changes})


async def ask(
    database: Database,
    name: str = "1",
    *,
    requirement: Requirement = ONE_LEAD,
    interested: tuple[str, ...] = (),
    times: ApprovalTimes | Moments | None = None,
    choices: tuple[Verdict, ...] = tuple(Verdict),
    editors: tuple[str, ...] = (),
    visit: int = 1,
    **changes: Any,  # noqa: ANN401 - any field of the view
) -> StoredRequest:
    """Open a request of its own run, as the run's activity does."""
    tenant = changes.get("tenant", TENANT)
    view = refund_view(run_id_for(tenant, "tests", name), requirement=requirement, **changes)
    basis = ApprovalBasis(
        tenant=view.tenant,
        run_id=view.run_id,
        step=3,
        call=0,
        tool=view.tool,
        tool_version=view.tool_version,
        schema_digest=SOME_DIGEST,
        arguments_digest=digest(view.arguments),
        resource_version=view.resource_version,
        requirement=requirement,
        policies=tuple(sorted(reason.policy for reason in view.reasons)),
        choices=choices,
        editors=editors,
        view_digest=digest(view),
        escalations=times.escalations if isinstance(times, Moments) else (),
    )
    async with database.tenant(view.tenant) as cursor:
        await keep_schema(cursor, view.tenant, SOME_DIGEST, ARGUMENTS)
        return await open_request(
            cursor, basis=basis, view=view, visit=visit, interested=interested, times=times or ApprovalTimes()
        )
