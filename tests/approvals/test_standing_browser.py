"""Standing approvals in Chromium, from the request that suggests one to its revocation, on a phone and a desk."""

import pytest
from playwright.sync_api import Browser, Page, expect

from settings import Settings
from tests.approvals import axe
from tests.approvals.scene import LENA
from tests.approvals.test_browser import DESK, PHONE, arrive, asked, browser, site

__all__ = ["browser", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.req("A9", "A2")]


def findings(page: Page, scheme: str) -> object:
    """What axe finds on the same page, in a context that lets it in."""
    with axe.admitted(page, color_scheme=scheme) as probe:
        probe.goto(page.url)
        return axe.findings(probe)


@pytest.mark.parametrize(("scheme", "viewport"), [("light", PHONE), ("dark", DESK)], ids=["phone", "desk"])
def test_from_a_request_to_a_proposal_that_is_revoked(
    browser: Browser, site: Settings, scheme: str, viewport: dict[str, int]
) -> None:
    page = arrive(
        browser, site, f"/requests/{asked(site).request_id}", LENA, viewport=viewport, color_scheme=scheme
    )  # fmt: skip
    page.get_by_role("link", name="Propose a standing approval like this").click()
    assert page.get_by_label("Value in EUR").input_value() == "480.00"
    page.locator("[name=unproven_note]").check()
    page.get_by_label("All of them together, in EUR").fill("2,400.00")
    page.get_by_label("Why?").fill("A truck of parcels was lost; the carrier confirmed it.")
    assert findings(page, scheme) == []
    page.get_by_role("button", name="Propose it").click()
    expect(page.get_by_text("You proposed it: others must decide.")).to_be_visible()
    expect(page.get_by_text("at most EUR 480.00")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert findings(page, scheme) == []
    page.get_by_role("link", name="Standing approvals").click()
    assert findings(page, scheme) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("link", name="payments.issue_refund of support_refund").click()
    page.get_by_label("Why does it end?").fill("They were found.")
    page.get_by_role("button", name="Revoke it now").click()
    expect(page.get_by_text("They were found.")).to_be_visible()
