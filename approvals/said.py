"""What approvers said before, as the page shows it. Pure, and from the view alone."""

from approvals.values import Change, changes_of
from approvals.words import DID
from contracts.approval import ApprovalView, Earlier
from contracts.base import JsonObject, Record

__all__ = ["Said", "said_of"]


class Said(Record):
    """One earlier answer of an approver."""

    earlier: Earlier
    did: str
    """What they did, in words."""
    changes: tuple[Change, ...]
    """What an edit changed."""


def said_of(view: ApprovalView) -> tuple[Said, ...]:
    """Everything that the view tells of, oldest first."""
    return tuple(Said(earlier=one, did=DID[one.verdict], changes=_changes(one, view)) for one in view.earlier)


def _changes(one: Earlier, view: ApprovalView) -> tuple[Change, ...]:
    # An amount is read with the currency that stands beside it.
    beside: JsonObject = {"currency": view.arguments["currency"]} if "currency" in view.arguments else {}
    before, after = ({**beside, **{part.name: part.before for part in one.changes}},
                     {**beside, **{part.name: part.after for part in one.changes}})  # fmt: skip
    return tuple(change for change in changes_of(before, after) if change.changed)
