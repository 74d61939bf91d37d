"""The page that changes arguments, and what later requests show of it: by phone and by desk, without JavaScript."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from contracts.approval import ArgumentChange, Earlier
from contracts.vote import Verdict
from settings import Settings
from tests.approvals.scene import LENA
from tests.approvals.test_browser import DESK, HOSTILE, PHONE, arrive, asked, browser, site, votes

__all__ = ["browser", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.req("A5")]
EARLIER = (
    Earlier(
        request_id="apr-" + "a" * 26, step=2, verdict=Verdict.ASK, person="lena", display_name="Lena",
        words="Was the customer told of the delay? " + HOSTILE, answer="The ticket does not say so. " + HOSTILE,
    ),
    Earlier(
        request_id="apr-" + "b" * 26, step=3, verdict=Verdict.EDIT, person="fred", display_name="Fred",
        words="Half of it is fair",
        changes=(
            ArgumentChange(name="amount_minor", before=96_000, after=48_000),
            ArgumentChange(name="note", before=None, after=HOSTILE),
        ),
    ),
    Earlier(
        request_id="apr-" + "c" * 26, step=3, verdict=Verdict.EDIT, person="fred", display_name="Fred",
        words="And as a voucher", problem="Arguments of payments.issue_refund are wrong: currency: no such currency.",
    ),
)  # fmt: skip


def fits(page: Page, width: int) -> None:
    widest = page.locator("main *").evaluate_all(
        "all => Math.max(...all.map(one => one.getBoundingClientRect().right))"
    )
    assert widest <= width


@pytest.mark.parametrize(("scheme", "viewport"), [("light", PHONE), ("dark", DESK)], ids=["phone", "desk"])
def test_arguments_are_changed_by_phone_and_by_desk(
    browser: Browser, site: Settings, tmp_path: Path, scheme: str, viewport: dict[str, int]
) -> None:
    request = asked(site, earlier=EARLIER)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=viewport, color_scheme=scheme)
    expect(page.locator("#said-before")).to_contain_text("Lena asked the agent about this call at step 2")
    expect(page.locator("#said-before")).to_contain_text("EUR 960.00")
    page.screenshot(path=tmp_path / "request.png", full_page=True)
    fits(page, viewport["width"])
    page.get_by_role("link", name="Change the arguments…").click()
    page.get_by_label("Amount").fill("2,5")
    page.get_by_label("Why do you change it?").fill("Half of it is fair")
    page.get_by_role("button", name="Look at the change").click()
    expect(page.get_by_label("Amount")).to_have_attribute("aria-invalid", "true")
    page.screenshot(path=tmp_path / "edit.png", full_page=True)
    fits(page, viewport["width"])
    page.get_by_label("Amount").fill("240")
    page.get_by_role("button", name="Look at the change").click()
    expect(page.get_by_role("cell", name="EUR 240.00")).to_be_visible()
    page.screenshot(path=tmp_path / "sure.png", full_page=True)
    fits(page, viewport["width"])
    page.get_by_role("button", name="Change it so").click()
    expect(page.get_by_role("status").first).to_contain_text("Your edit is signed and stored")
    page.screenshot(path=tmp_path / "done.png", full_page=True)
    [vote] = votes(site, request)
    assert (vote.verdict, '"amount_minor":24000' in (vote.edited or "")) == (Verdict.EDIT, True)


def test_the_agent_is_asked_from_the_page(browser: Browser, site: Settings, tmp_path: Path) -> None:
    request = asked(site)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=PHONE)
    page.get_by_text("Ask the agent…").click()
    page.get_by_text("Take it over…").click()
    page.screenshot(path=tmp_path / "more.png", full_page=True)
    page.get_by_label("Your question").fill("Was the customer told of the delay?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("Your question is signed and stored")
    [vote] = votes(site, request)
    assert (vote.verdict, vote.reason) == (Verdict.ASK, "Was the customer told of the delay?")
