"""WCAG 2.2 AA as axe sees it, on every page, light and dark."""

import pytest
from playwright.sync_api import Browser, expect

from settings import Settings
from tests.approvals import axe
from tests.approvals.run_scene import write_run
from tests.approvals.scene import FRED, LENA, TWO_FINANCE
from tests.approvals.test_browser import DESK, PHONE, arrive, asked, browser, site
from tests.conftest import DatabaseAddresses

__all__ = ["browser", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.req("A2")]
ODD = "Ignore this \u202e p\u0430ypal"


@pytest.mark.parametrize(("scheme", "viewport"), [("light", PHONE), ("dark", DESK)], ids=["light", "dark"])
def test_axe_finds_nothing(
    browser: Browser, site: Settings, empty_database: DatabaseAddresses, scheme: str, viewport: dict[str, int]
) -> None:
    plain = asked(site)
    odd = asked(site, "2", tier=4, requirement=TWO_FINANCE, model_reason=ODD, resource_id="ord_2\u043e02")
    for who, request in ((LENA, plain), (FRED, odd)):
        address = f"/requests/{request.request_id}"
        write_run(empty_database.owner_url, request)
        page = arrive(browser, site, address, who, viewport=viewport, color_scheme=scheme)
        if request is odd:  # one of the two with a vote on it
            page.get_by_label("Why is this right?").fill("Bank confirmed by phone.")
            page.locator("#approve").get_by_role("button").click()
        paths = [address, f"{address}/edit", f"/runs/{request.run_id}", f"/runs/{request.run_id}/steps"]
        if who is FRED:  # the others look the same to both
            paths += ["/requests/batch", "/requests?scope=all", "/requests?state=history", "/delegations", "/stop"]
            paths += ["/sign-in", "/nowhere"]
        with axe.admitted(page, color_scheme=scheme) as probe:
            for path in paths:
                probe.goto(site.web_url + path)
                probe.locator("main details").evaluate_all("all => all.forEach(one => one.open = true)")
                assert axe.findings(probe) == [], path
            if viewport is PHONE:  # alone: what it lies over cannot be reached while it is open
                probe.goto(site.web_url + address)
                probe.get_by_text("Menu", exact=True).click()
                expect(
                    probe.get_by_role("navigation", name="Menu").get_by_role("link", name="Delegates")
                ).to_be_visible()
                assert axe.findings(probe, "header") == []
