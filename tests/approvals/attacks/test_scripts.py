"""Text of strangers in a real browser with scripts on: nothing of it runs, nothing leaves, nothing looks like ours."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from contracts.approval import ApprovalView
from settings import Settings
from store.database import Database
from tests.approvals.attacks.hostile import FIXED, PAYLOAD, hostile_view
from tests.approvals.scene import LENA, TENANT
from tests.approvals.test_browser import (
    arrive,
    asked,
    browser,
    in_store,
    site,
    votes,
)

__all__ = ["browser", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.req("A2", "I4")]
_WITHOUT_FIELDS = """() => {
    const copy = document.documentElement.cloneNode(true)
    copy.querySelectorAll("textarea, input, select").forEach(field => field.remove())
    return copy.outerHTML
}"""
"""What may be edited stands in its field as it is; all else shows what hides."""
_NUMBERS = {"money_minor", "customer_visible"}


def test_every_text_of_a_view_is_attacked() -> None:
    view, attacked = hostile_view()
    assert attacked == ApprovalView.model_fields.keys() - FIXED - _NUMBERS
    ApprovalView.model_validate(view)


def listening(page: Page, origin: str) -> list[str]:
    """What a page does that it must not."""
    found: list[str] = []
    page.on("dialog", lambda dialog: found.append(f"dialog {dialog.message}"))
    page.on("request", lambda one: None if one.url.startswith(origin) else found.append(f"asked {one.url}"))
    page.on("console", lambda message: found.append(f"console {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error {error}"))
    return found


async def _rename(db: Database) -> None:
    async with db.tenant(TENANT) as cursor:
        await cursor.execute("update accounts set display_name = %s", (PAYLOAD[:150] + PAYLOAD[-40:],))


def test_nothing_that_a_stranger_wrote_runs_or_leaves(browser: Browser, site: Settings) -> None:
    view, _ = hostile_view()
    names = {name: value for name, value in view.items() if name not in {"tenant", "run_id", "requirement"}}
    request = asked(site, "1", **names)
    in_store(site, _rename)
    quiet = arrive(browser, site, f"/requests/{request.request_id}", LENA)
    quiet.locator("#deny textarea").fill(PAYLOAD[:1_900])
    quiet.locator("#deny").get_by_role("button").click()
    [vote] = votes(site, request)
    second = asked(site, "2", **{**names, "tier": 1})
    loud = browser.new_context(storage_state=quiet.context.storage_state())
    page = loud.new_page()
    found = listening(page, site.web_url)
    paths = [
        f"/requests/{request.request_id}", f"/requests/{second.request_id}?whole=true",
        f"/requests/{second.request_id}/edit", "/requests?scope=all", "/requests?state=history&scope=all",
        "/decisions?scope=all",
        f"/requests/{request.request_id}/seen/{vote.seen.removeprefix('sha256:')}", "/reviewers/mine",
    ]  # fmt: skip
    shown = 0
    for path in paths:
        page.goto(site.web_url + path)
        shown += _looks_harmless(page)
    assert shown >= 7
    assert found == []


def _looks_harmless(page: Page) -> bool:
    """Whether a stranger's text is on the page; and nothing of it is more than text there."""
    odd: dict[str, Callable[[], Any]] = {
        "a script of theirs ran": lambda: page.evaluate("typeof owned !== 'undefined'"),
        "an element of theirs": lambda: page.locator(
            "iframe, svg[onload], img[onerror], base, meta[http-equiv]"
        ).count(),
        "a link of theirs": lambda: [
            link.get_attribute("href") for link in page.locator("a[href^='javascript:'], [href*='127.0.0.1:1/']").all()
        ],
        "a form of theirs": lambda: page.locator("form[action*='127.0.0.1:1/']").count(),
        "a handler": lambda: page.locator("[onload], [onerror], [onclick], [style]").count(),
    }
    assert {what: look() for what, look in odd.items() if look()} == {}
    html = str(page.evaluate(_WITHOUT_FIELDS))
    raw = re.search("[\u202e\u2066\u200b\U000e0041\ufeff\u2028]", html)
    assert (page.url, html[max(0, raw.start() - 80) : raw.end() + 20] if raw else "") == (page.url, "")
    return "U+202E" in html
