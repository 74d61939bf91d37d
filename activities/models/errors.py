"""What can go wrong between us and a model, told apart by who must react: retry (unavailable) or change something."""

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC, datetime

__all__ = ["MAX_RETRY_AFTER_S", "ModelRejected", "ModelUnavailable", "retry_after_s", "scrub"]

MAX_RETRY_AFTER_S = 600.0
"""A provider that asks for more is asked again after this: the run's own limits decide whether that is too late."""

MAX_TEXT = 160
_SECRET = re.compile(r"\b(?:sk|pk|rk|key|sess|Bearer)[-_ ][A-Za-z0-9*._~+/-]{6,}", re.IGNORECASE)


class ModelUnavailable(Exception):  # noqa: N818 - said of the model, and what the caller does follows from the word
    """No answer now; the same request may be sent again (429, 5xx, timeout, connection fault, cut stream)."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, possibly_charged: bool, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """What the provider asked for, bounded by `MAX_RETRY_AFTER_S`; None where it said nothing."""
        self.possibly_charged = possibly_charged
        """False only where the provider cannot have done any work."""
        self.status = status
        """HTTP status, where there was one."""


class ModelRejected(Exception):  # noqa: N818 - as above
    """The provider will not answer this request however often it is sent: bad request, credentials, unknown model."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status, where there was one."""


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or HTTP date), within 0 to `MAX_RETRY_AFTER_S`.

    Header names are looked up in lower case. Anything that is neither a number nor a date counts as absent.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    try:
        at = email.utils.parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return _bounded((aware - now).total_seconds())


def scrub(text: object, *secrets: str) -> str:
    """A provider's words, short and without anything that looks like a key: they end up in histories and logs."""
    words = " ".join(str(text).split())
    for secret in secrets:
        if secret:
            words = words.replace(secret, "[key]")
    words = _SECRET.sub("[key]", words)
    return words if len(words) <= MAX_TEXT else words[: MAX_TEXT - 1] + "…"


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value == value else None  # noqa: PLR0124 - a NaN is no number of seconds


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
