"""Faults of tools as messages, and back."""

from activities.sandbox.lines import Failed
from contracts.tool import Ambiguous, RateLimited, RefusedBeforeSend, Rejected, ToolFault

__all__ = ["failed_of", "fault_of"]

_WORDS = 2_000


def failed_of(error: BaseException) -> Failed:
    """A fault as a message. Of an exception that is no fault only its type is told: its text may hold anything."""
    if not isinstance(error, ToolFault):
        return Failed(fault="tool_fault", code="tool_fault", message=type(error).__name__[:200])
    words, code = str(error)[:_WORDS], str(error.code)[:200]
    match error:
        case RefusedBeforeSend():
            return Failed(fault="refused_before_send", code=code, message=words)
        case Rejected():
            return Failed(fault="rejected", code=code, message=words, settles_key=error.settles_key)
        case RateLimited():
            return Failed(fault="rate_limited", code=code, message=words, retry_after_s=error.retry_after_s)
        case _:
            return Failed(fault="ambiguous", code=code, message=words)


def fault_of(failed: Failed) -> ToolFault:
    """The fault that a message tells of."""
    match failed.fault:
        case "refused_before_send":
            return RefusedBeforeSend(failed.message, code=failed.code)
        case "rejected":
            return Rejected(failed.message, code=failed.code, settles_key=failed.settles_key)
        case "rate_limited":
            return RateLimited(failed.message, code=failed.code, retry_after_s=failed.retry_after_s)
        case "ambiguous" | "tool_fault":
            return Ambiguous(failed.message, code=failed.code)
