"""Telling people about a request for approval, beside the run: no failure of a mail server holds or ends a run."""

import asyncio
from collections import Counter
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

from contracts.event import RunRequest
from contracts.notice import NoticeKind, SendNotices
from contracts.run_activities import SEND_NOTICES, ApprovalOpened

__all__ = ["Notices"]

_TIMEOUT = timedelta(seconds=120)
_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=10)
)
_LAST_WORDS_S = 30
_AFTER_EXPIRY_S = 3_600
"""How long the last notice, that a request has expired, is tried."""


class Notices:
    """Sends notices without being waited for. What is decided meanwhile is told to nobody: the activity looks."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._sending: set[asyncio.Task[None]] = set()
        self._told: Counter[str] = Counter()

    def tell(self, kind: NoticeKind, opened: ApprovalOpened, escalated_to: str = "") -> asyncio.Task[None]:
        """Begin to tell people; of an escalation, those of the group that may decide from now on."""
        task = asyncio.create_task(self._send(kind, opened, escalated_to))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def tell_at_last(self, kind: NoticeKind, opened: ApprovalOpened) -> None:
        """Tell people before the run ends, and its notices with it. A dead mail server is not waited for."""
        await workflow.wait([self.tell(kind, opened)], timeout=_LAST_WORDS_S)

    async def _send(self, kind: NoticeKind, opened: ApprovalOpened, escalated_to: str) -> None:
        activity_id = f"notice-{opened.request_id}-{kind.value}" + (f"-{escalated_to}" if escalated_to else "")
        self._told[activity_id] += 1
        # A group may come in for several others, one after another, and the first notice be under way still.
        again = self._told[activity_id]
        left_s = max(opened.expires_at - workflow.now().timestamp(), 0) + _AFTER_EXPIRY_S
        try:
            await workflow.execute_activity(
                SEND_NOTICES.name,
                SendNotices(
                    tenant=self._request.tenant,
                    run_id=self._request.run_id,
                    request_id=opened.request_id,
                    kind=kind,
                    groups=(escalated_to,) if escalated_to else self._asked(opened),
                ),
                result_type=SEND_NOTICES.returns,
                activity_id=activity_id if again == 1 else f"{activity_id}-{again}",
                start_to_close_timeout=_TIMEOUT,
                schedule_to_close_timeout=timedelta(seconds=left_s),
                retry_policy=_RETRY,
                summary=f"tell people: {kind.value}",
            )
        except FailureError as error:
            workflow.logger.warning("notice %s of %s was not sent: %s", kind, opened.request_id, error)

    @staticmethod
    def _asked(opened: ApprovalOpened) -> tuple[str, ...]:
        """Groups that were asked, and those that it has been escalated to by now."""
        now_s = workflow.now().timestamp()
        escalated = sorted({one.to for one in opened.escalations if one.at <= now_s})
        return (*(need.group for need in opened.requirement.needs), *escalated)
