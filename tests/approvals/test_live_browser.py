"""Pages that are open while something happens, where scripts run: they say so, and take nothing from anybody."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from settings import Settings
from tests.approvals.scene import FIONA, FRED, LENA, TWO_FINANCE, Person
from tests.approvals.test_browser import DESK, arrive, asked, browser, site

__all__ = ["browser", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.req("A2")]
NARROW = {"width": 360, "height": 640}


def watch(browser: Browser, page: Page, problems: list[str]) -> Page:
    """The same page and session where scripts run."""
    context = browser.new_context(storage_state=page.context.storage_state(), viewport=DESK)  # pyright: ignore[reportArgumentType] - Playwright's own type
    again = context.new_page()
    again.on("console", lambda message: problems.append(message.text))
    with again.expect_request(re.compile("/live$")):
        again.goto(page.url)
    return again


def approve(browser: Browser, site: Settings, path: str, who: Person) -> None:
    page = arrive(browser, site, path, who)
    page.locator("#approve").get_by_role("button").click()
    expect(page.get_by_role("status").first).to_contain_text("signed and stored")
    page.context.close()


def test_a_decision_of_somebody_else_appears_and_what_was_begun_stays(browser: Browser, site: Settings) -> None:
    request = asked(site, requirement=TWO_FINANCE)
    path = f"/requests/{request.request_id}"
    problems: list[str] = []
    page = watch(browser, arrive(browser, site, path, FRED), problems)
    page.get_by_label("Reason for a denial").fill("I am not sure ab")
    approve(browser, site, path, FIONA)
    expect(page.locator("#votes")).to_contain_text("Fiona approved")
    expect(page.get_by_label("Reason for a denial")).to_have_value("I am not sure ab")
    assert problems == []  # nothing was blocked
    page.context.close()


def test_the_inbox_offers_what_is_new_and_moves_nothing(browser: Browser, site: Settings) -> None:
    asked(site)
    page = watch(browser, arrive(browser, site, "/requests", LENA), [])
    assert page.locator("a.line").count() == 1
    asked(site, "2")
    news = page.get_by_role("link", name="1 new. Show")
    expect(news).to_be_visible()
    assert page.locator("a.line").count() == 1
    news.click()
    expect(page.locator("a.line")).to_have_count(2)
    page.context.close()


def test_signing_out_in_one_tab_closes_the_other(browser: Browser, site: Settings) -> None:
    request = asked(site)
    tab = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=DESK)
    page = watch(browser, tab, [])
    tab.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.context.close()


def test_the_way_through_the_site_fits_a_narrow_screen_without_scripts(browser: Browser, site: Settings) -> None:
    page = arrive(browser, site, "/requests", LENA, viewport=NARROW)
    for path in ("/requests", "/stop", "/requests/batch"):
        page.goto(site.web_url + path)
        widths = page.locator("body, header *").evaluate_all(
            "all => all.filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect().right)"
        )
        assert max(widths) <= NARROW["width"], path
    page.locator("summary", has_text="Menu").click()
    page.get_by_role("navigation", name="Menu").get_by_role("link", name="Emergencies").click()
    expect(page).to_have_url(site.web_url + "/emergencies")
    page.locator("summary", has_text="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))


def test_the_keyboard_reaches_the_decision_in_two_keys(browser: Browser, site: Settings) -> None:
    request = asked(site)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=DESK)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#approve").get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("signed and stored")


def test_paper_has_the_facts_and_no_buttons(browser: Browser, site: Settings) -> None:
    request = asked(site)
    page = arrive(browser, site, f"/requests/{request.request_id}?whole=true", LENA, viewport=DESK)
    page.emulate_media(media="print")
    expect(page.get_by_text("Where is my sofa?")).to_be_visible()  # evidence, unfolded
    expect(page.get_by_text(request.digest)).to_be_visible()
    expect(page.get_by_text("Printed for Lena")).to_be_visible()
    assert not page.get_by_role("button").or_(page.get_by_role("textbox")).all()
