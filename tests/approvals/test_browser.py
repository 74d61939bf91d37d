"""A person with a real browser: from a link in a mail to a decision, by phone and by desk, without JavaScript."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import cast

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from approvals.app import create_app
from contracts.agent import ApprovalTimes
from settings import Settings
from store.approvals import StoredRequest
from store.database import Database
from store.votes import StoredVote, votes_on
from tests.approvals.scene import (
    FIONA,
    FRED,
    LENA,
    PASSWORD,
    TENANT,
    TWO_FINANCE,
    Person,
    add_people,
    ask,
    settings_for,
)
from tests.conftest import DatabaseAddresses
from tests.peers.need import need_browser

pytestmark = [pytest.mark.browser, pytest.mark.req("A2")]
START_LIMIT_S = 20
HOSTILE = "Ignore this. \u202eAPPROVED by finance\u202c <script>document.title='owned'</script> p\u0430ypal"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    path = need_browser()
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield found
        found.close()


@pytest.fixture
def site(
    empty_database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int], browser: Browser
) -> Iterator[Settings]:
    """A form on a port of its own."""
    port = free_port()
    settings = settings_for(
        empty_database.url, tmp_path / "office", port=port, temporal_address=f"127.0.0.1:{free_port()}"
    )
    config = uvicorn.Config(create_app(settings), port=port, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    in_store(settings, lambda db: add_people(db, LENA, FRED, FIONA))
    yield settings
    server.should_exit = True
    thread.join(START_LIMIT_S)


def in_store(settings: Settings, work: Callable[[Database], object]) -> object:
    """Run something against the store, in a thread: Playwright keeps a loop in this one."""
    results: list[object] = []

    async def run() -> None:
        async with Database(settings.database_address(), role=settings.database_role) as db:
            found = work(db)
            results.append(await found if asyncio.iscoroutine(found) else found)

    thread = Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join(START_LIMIT_S)
    return results[0]


def asked(settings: Settings, name: str = "1", **changes: object) -> StoredRequest:
    found = in_store(settings, lambda db: ask(db, name, **changes))  # pyright: ignore[reportArgumentType] - any field
    assert isinstance(found, StoredRequest)
    return found


def votes(settings: Settings, request: StoredRequest) -> tuple[StoredVote, ...]:
    async def read(db: Database) -> tuple[StoredVote, ...]:
        async with db.tenant(TENANT) as cursor:
            return await votes_on(cursor, TENANT, request.request_id)

    return cast("tuple[StoredVote, ...]", in_store(settings, read))


def arrive(browser: Browser, settings: Settings, path: str, who: Person, **options: object) -> Page:
    """Follow a link from a mail, and sign in on the way."""
    context = browser.new_context(java_script_enabled=False, **options)  # pyright: ignore[reportArgumentType] - Playwright's own
    page = context.new_page()
    page.goto(settings.web_url + path)
    page.get_by_label("Organisation").fill(who.tenant)
    page.get_by_label("User name").fill(who.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(settings.web_url + path)
    return page


def test_from_the_mail_link_to_an_approval_by_phone(browser: Browser, site: Settings) -> None:
    request = asked(site)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=PHONE)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Refund an order")
    page.locator(".thumb-bar").get_by_role("link", name="Approve EUR 480.00").click()
    page.locator("#approve").get_by_role("button", name="Approve EUR 480.00").click()
    expect(page.get_by_role("status")).to_contain_text("Your approval is signed and stored")
    assert page.get_by_role("button", name="Approve").count() == 0
    [vote] = votes(site, request)
    assert (vote.person, vote.verdict) == ("lena", "approve")


def test_the_keyboard_leads_to_a_decision_and_shows_where_it_is(browser: Browser, site: Settings) -> None:
    request = asked(site)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=DESK)

    def focused() -> tuple[str, str]:
        """What has the focus, and how wide the line round it is."""
        found = page.locator(":focus")
        return found.inner_text().strip(), found.evaluate("one => getComputedStyle(one).outlineWidth")

    page.keyboard.press("Tab")
    assert focused() == ("Skip to content", "3px")
    page.keyboard.press("Tab")
    assert focused() == ("Skip to the decision", "3px")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused() == ("Approve EUR 480.00", "3px")
    page.keyboard.press("Shift+Tab")  # back and forth decides nothing
    page.keyboard.press("Tab")
    assert votes(site, request) == ()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Your approval is signed and stored")
    assert [vote.verdict for vote in votes(site, request)] == ["approve"]


def test_a_denial_at_the_desk_needs_its_reason(browser: Browser, site: Settings) -> None:
    request = asked(site)
    page = arrive(browser, site, "/requests", LENA, viewport=DESK)
    page.get_by_role("link", name="Issue refund").click()
    page.get_by_role("button", name="Deny").click()  # the browser itself asks for the reason
    assert votes(site, request) == ()
    page.get_by_label("Reason for a denial").fill("Refunded by hand yesterday, see TCK-502.")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("status")).to_contain_text("Your denial is signed and stored")
    [vote] = votes(site, request)
    assert (vote.verdict, vote.reason) == ("deny", "Refunded by hand yesterday, see TCK-502.")


def test_what_cannot_be_undone_is_approved_with_a_reason(browser: Browser, site: Settings) -> None:
    request = asked(site, tier=4, requirement=TWO_FINANCE)
    page = arrive(browser, site, f"/requests/{request.request_id}", FRED, viewport=PHONE)
    for width in (1280, 1440):  # at a desk both verdicts are seen at once, with the reasons that they ask for
        page.set_viewport_size({"width": width, "height": 900})
        for form in ("#approve", "#deny"):
            expect(page.locator(form).get_by_role("button")).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    page.locator(".thumb-bar").get_by_role("link", name=re.compile("^Approve .*…")).click()
    page.get_by_label("Why is this right?").fill("Bank confirmed by phone.")
    page.locator("#approve").get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("signed and stored")
    assert [vote.reason for vote in votes(site, request)] == ["Bank confirmed by phone."]


def test_hostile_text_stays_text_even_where_scripts_run(browser: Browser, site: Settings) -> None:
    request = asked(site, model_reason=HOSTILE, resource_id="ord_2\u043e02", tool_description=HOSTILE)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA)
    with_scripts = browser.new_context(storage_state=page.context.storage_state())
    again = with_scripts.new_page()
    problems: list[str] = []
    again.on("console", lambda message: problems.append(message.text))
    again.goto(page.url)
    assert again.title() != "owned"
    expect(again.get_by_role("blockquote")).to_contain_text("U+202EAPPROVED by finance")
    expect(again.locator(".target")).to_contain_text("ord_2U+043E02")
    assert problems == []  # nothing was even blocked: no script, no inline style, no foreign address


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_pages_fit_their_screen(
    browser: Browser, site: Settings, tmp_path: Path, scheme: str, viewport: dict[str, int]
) -> None:
    asked(site, "2", money_minor=None, tool="crm.close_account", tier=4, times=ApprovalTimes(sla_s=60, expires_s=900))
    request = asked(site, resource_id="ord_" + "x" * 90, model_reason=HOSTILE * 5)
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA, viewport=viewport, color_scheme=scheme)
    for path, name in ((f"/requests/{request.request_id}", "request"), ("/requests?scope=all", "inbox")):
        page.goto(site.web_url + path)
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)  # kept by pytest for whoever wants to look
        size = page.locator("html").bounding_box()
        assert size is not None
        widest = page.locator("main *").evaluate_all(
            "all => Math.max(...all.map(one => one.getBoundingClientRect().right))"
        )
        assert widest <= viewport["width"]
    sizes = page.locator("main a, main button").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 24  # WCAG 2.2, 2.5.8
