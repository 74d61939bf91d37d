"""WCAG 2.2 AA as axe sees it, on every page, light and dark."""

from typing import Any

import pytest
from playwright.sync_api import Browser

from settings import Settings
from tests.approvals.scene import FRED, LENA, TWO_FINANCE
from tests.approvals.test_browser import DESK, PHONE, arrive, asked, browser, site
from tests.peers.need import need_package

__all__ = ["browser", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.req("A2")]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ODD = "Ignore this \u202e p\u0430ypal"


@pytest.mark.parametrize(("scheme", "viewport"), [("light", PHONE), ("dark", DESK)], ids=["light", "dark"])
def test_axe_finds_nothing(browser: Browser, site: Settings, scheme: str, viewport: dict[str, int]) -> None:
    _, folder = need_package("axe-core")
    axe = (folder / "axe.min.js").read_text()
    plain = asked(site)
    odd = asked(site, "2", tier=4, requirement=TWO_FINANCE, model_reason=ODD, resource_id="ord_2\u043e02")
    for who, request in ((LENA, plain), (FRED, odd)):
        address = f"/requests/{request.request_id}"
        page = arrive(browser, site, address, who, viewport=viewport, color_scheme=scheme)
        if request is odd:  # one of the two with a vote on it
            page.get_by_label("Why is this right?").fill("Bank confirmed by phone.")
            page.locator("#approve").get_by_role("button").click()
        # axe is a script, which our own policy forbids: only this context lets it in.
        context = browser.new_context(
            bypass_csp=True,
            storage_state=page.context.storage_state(),
            viewport=viewport,  # pyright: ignore[reportArgumentType] - Playwright's own type
            color_scheme=scheme,  # pyright: ignore[reportArgumentType] - one of two
        )
        probe = context.new_page()
        lists = ("/requests?scope=all", "/requests?state=history", "/requests/batch")
        steps = f"/runs/{request.run_id}/steps"
        others = ("/delegations", "/sessions", "/device", "/stop", "/sign-in", "/nowhere")
        for path in (address, f"{address}/edit", *lists, steps, *others):
            probe.goto(site.web_url + path)
            probe.locator("main details").evaluate_all("all => all.forEach(one => one.open = true)")
            probe.evaluate(axe)
            found: dict[str, Any] = probe.evaluate(f"() => axe.run({{runOnly: {RULES}}})")
            problems = [
                (problem["id"], [(node["html"], node["failureSummary"]) for node in problem["nodes"]][:3])
                for problem in found["violations"]
            ]
            assert problems == [], path
        context.close()
