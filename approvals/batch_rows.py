"""The list on which several requests are decided, as those who decide see it and as it is kept with their votes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from approvals.assets import Assets
from approvals.presenting import RequestView
from approvals.seen import REMEMBERED, as_asked, kept_page, told
from contracts.canonical import digest_bytes
from store.approvals import StoredRequest

__all__ = ["MAX_ITEMS", "MAX_TIER", "BatchRow", "batch_row", "seen_batch", "seen_batch_digest"]

MAX_TIER = 2
"""From the next tier on every request has a page, and a decision, of its own."""
MAX_ITEMS = 10
"""Requests in a submission: as many as a page of at most 60 KB holds."""
_LISTS = 16
"""Lists whose digests a process remembers: each is known by the whole text of its requests."""


@dataclass(frozen=True)
class BatchRow:
    """One request of the list, without what moves."""

    page: RequestView
    """As it was when it was asked."""
    facts: Markup
    """What a decision on it is about: the same bytes on everybody's list and on the kept one."""


def batch_row(assets: Assets, request: StoredRequest) -> BatchRow:
    """One request of the list. Made once by a process: who looks at one looks again, and others look at the same."""
    return _row(assets, told(request))


@lru_cache(REMEMBERED)
def _row(assets: Assets, told: str) -> BatchRow:
    page = as_asked(StoredRequest.model_validate_json(told))
    # A template of ours made it: what strangers wrote is escaped in it.
    return BatchRow(page, Markup(assets.text("batch_row.html", {"page": page})))  # noqa: S704 - as the line above says


def seen_batch_digest(assets: Assets, requests: Sequence[StoredRequest]) -> str:
    """What the votes on it carry as `seen`. The next due are the same until one of them is decided."""
    return _digest(assets, tuple(told(request) for request in requests))


@lru_cache(_LISTS)
def _digest(assets: Assets, told: tuple[str, ...]) -> str:
    return digest_bytes(seen_batch(assets, [StoredRequest.model_validate_json(one) for one in told]).encode())


def seen_batch(assets: Assets, requests: Sequence[StoredRequest]) -> str:
    """The whole list, in its order: each of its votes carries the digest of all of it."""
    rows = [batch_row(assets, request) for request in requests]
    return kept_page(assets, "seen_batch.html", {"rows": rows, "kept": {}, "results": (), "max_tier": MAX_TIER})
