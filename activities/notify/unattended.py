"""Notices that no run sends: of proposed standing approvals, and of test requests, which have no run.

People must not be able to tell a test request by what they are told of it: whatever a run would have sent is sent of it
as well, in the same order and words.
"""

import logging
from datetime import datetime

from temporalio.exceptions import ApplicationError

from activities.notify.delivery import Notifier, deliver
from activities.notify.notices import send_notices
from activities.notify.words import proposal_notice
from contracts.notice import NoticeKind, SendNotices
from policy.standing import standing_requirement
from store.approvals import StoredRequest, find_request
from store.database import Database
from store.decoys import decoys_to_tell
from store.notices import Told, telling_alone
from store.standing import StandingShown, proposed_now, terms_of

__all__ = ["tell_unattended"]

_LOG = logging.getLogger(__name__)


async def tell_unattended(notifier: Notifier, db: Database, tenant: str) -> None:
    """Tell what is due and was not told yet; a channel that fails is tried again in the next round."""
    async with db.tenant(tenant) as cursor:
        proposed = await proposed_now(cursor, tenant)
        decoys = [
            (decoy, await find_request(cursor, tenant, decoy.request_id))
            for decoy in await decoys_to_tell(cursor, tenant)
        ]
    if not (proposed or decoys):
        return
    async with telling_alone(db, tenant) as is_mine:
        if not is_mine:
            return
        for proposal in proposed:
            await _tell_proposal(notifier, db, proposal)
        for decoy, request in decoys:
            for notice in _due(request, decoy.groups, is_expired=decoy.result == "expired") if request else ():
                try:
                    await send_notices(notifier, db, notice)
                except ApplicationError as error:
                    _LOG.warning("people were not told of request %s: %s", decoy.request_id, error)


def _due(request: StoredRequest, groups: tuple[str, ...], *, is_expired: bool) -> list[SendNotices]:
    """What a run would have told of this request by now (`workflows/asking.py`)."""
    now_s = request.read_at.timestamp()
    moments = sorted({(one.at, one.to) for one in request.opened().escalations if one.at <= now_s})
    found = [
        (request.opened_at.timestamp(), NoticeKind.REQUESTED, groups),
        *((at, NoticeKind.ESCALATED, (to,)) for at, to in moments),
    ]
    if request.sla_at.timestamp() <= now_s:
        escalated = {to for at, to in moments if at <= request.sla_at.timestamp()}
        found.append((request.sla_at.timestamp(), NoticeKind.REMINDER, (*groups, *sorted(escalated))))
    found.sort(key=lambda one: one[0])
    if is_expired:
        found.append((now_s, NoticeKind.EXPIRED, (*groups, *sorted({to for _, to in moments}))))
    return [
        SendNotices(
            tenant=request.tenant, run_id=request.run_id, request_id=request.request_id, kind=kind, groups=who
        )
        for _, kind, who in found
    ]  # fmt: skip


async def _tell_proposal(notifier: Notifier, db: Database, proposal: StandingShown) -> None:
    """When it is proposed, and again when half of its time is gone."""
    terms = terms_of(proposal.terms, proposal.digest)
    if terms is None:  # damaged: it can only be denied, and nobody is called to that
        return
    groups = tuple(need.group for need in standing_requirement(terms.rung).needs)
    kinds = [NoticeKind.REQUESTED]
    if proposal.read_at > _middle(proposal.proposed_at, proposal.decide_until):
        kinds.append(NoticeKind.REMINDER)
    for kind in kinds:
        channels = await notifier.serving(db, proposal.tenant, kind, groups)
        told = Told(tenant=proposal.tenant, about=proposal.standing_id, kind=kind)
        notice = proposal_notice(
            kind, standing_id=proposal.standing_id, expires=proposal.decide_until, web_url=notifier.web_url
        )
        try:
            await deliver(notifier, db, told, notice, channels)
        except ApplicationError as error:
            _LOG.warning("people were not told of standing approval %s: %s", proposal.standing_id, error)


def _middle(first: datetime, last: datetime) -> datetime:
    return first + (last - first) / 2
