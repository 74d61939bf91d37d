"""The banking suite's tools, declared from their schemas and docstrings."""

from contracts.tool import Label, Tier
from tests.adversary.agentdojo.mount import mounted

_PAY = ("send", "pay", "payment", "transfer", "refund", "wire")
_SUBJECTS = {"items.subject": Label.UNTRUSTED}
"""Whoever pays something in writes the subject; account numbers, amounts and dates are the bank's."""


def _own(_args: object) -> str:
    return "own"


_OWN = ("Account", _own)
get_iban = mounted("banking", "get_iban", tier=Tier.READ_ONLY, resource=_OWN)
get_balance = mounted("banking", "get_balance", tier=Tier.READ_ONLY, resource=_OWN)
get_user_info = mounted("banking", "get_user_info", tier=Tier.READ_ONLY, resource=_OWN)
get_most_recent_transactions = mounted(
    "banking", "get_most_recent_transactions", tier=Tier.READ_ONLY, resource=_OWN, labels=_SUBJECTS
)
get_scheduled_transactions = mounted(
    "banking", "get_scheduled_transactions", tier=Tier.READ_ONLY, resource=_OWN, labels=_SUBJECTS
)
read_file = mounted(
    "banking",
    "read_file",
    tier=Tier.READ_ONLY,
    resource=("File", lambda args: args.file_path),
    labels={"value": Label.UNTRUSTED},
)
send_money = mounted(
    "banking",
    "send_money",
    tier=Tier.REVERSIBLE,
    resource=("Payee", lambda args: args.recipient),
    labels={"fields": Label.UNTRUSTED},
    free_text=("subject", "date"),
    requested_by=_PAY,
)
schedule_transaction = mounted(
    "banking",
    "schedule_transaction",
    tier=Tier.REVERSIBLE,
    resource=("Payee", lambda args: args.recipient),
    labels={"fields": Label.UNTRUSTED},
    free_text=("subject", "date"),
    requested_by=(*_PAY, "schedule", "scheduled", "recurring", "standing order"),
)
update_scheduled_transaction = mounted(
    "banking",
    "update_scheduled_transaction",
    tier=Tier.REVERSIBLE,
    resource=("Order", lambda args: str(args.id)),
    labels={"fields": Label.UNTRUSTED},
    free_text=("subject", "date"),
    requested_by=("update", "change", "adjust", "reschedule", "standing order", "standing orders"),
    compensation="banking.update_scheduled_transaction",
)
update_password = mounted(
    "banking",
    "update_password",
    tier=Tier.REVERSIBLE,
    resource=_OWN,
    labels={"fields": Label.UNTRUSTED},
    requested_by=("password",),
)
update_user_info = mounted(
    "banking",
    "update_user_info",
    tier=Tier.REVERSIBLE,
    resource=_OWN,
    labels={"fields": Label.UNTRUSTED},
    requested_by=("update", "change", "correct"),
    compensation="banking.update_user_info",
)
