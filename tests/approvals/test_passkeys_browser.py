"""A person whose browser has an authenticator: registers, signs in, approves what cannot be undone, removes."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from settings import Settings
from tests.approvals import axe
from tests.approvals.scene import FRED, PASSWORD, TENANT, TWO_FINANCE
from tests.approvals.test_browser import DESK, PHONE, asked, browser, site, votes

__all__ = ["browser", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.req("A4")]
CHIP = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


def at_name(settings: Settings, path: str) -> str:
    """The site by its name: browsers make passkeys for names alone."""
    return settings.web_url.replace("127.0.0.1", "localhost") + path


def device(page: Page) -> tuple[Any, str]:
    """Build an authenticator into the browser."""
    chip: Any = page.context.new_cdp_session(page)  # Playwright leaves its messages without types
    chip.send("WebAuthn.enable")
    return chip, chip.send("WebAuthn.addVirtualAuthenticator", {"options": CHIP})["authenticatorId"]


def sign_in(page: Page, settings: Settings, path: str) -> None:
    page.goto(at_name(settings, f"/sign-in?next={path}"))
    page.get_by_label("Organisation").fill(TENANT)
    page.get_by_label("User name").fill(FRED.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def add(page: Page, name: str) -> None:
    page.get_by_label("What do you call it?").fill(name)
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_passkey_from_the_first_day_to_the_last(browser: Browser, site: Settings) -> None:
    page = browser.new_context().new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    chip, authenticator = device(page)
    sign_in(page, site, "/passkeys")
    add(page, "work laptop")

    page.get_by_role("button", name="Sign out").first.click()
    request = asked(site, tier=4, requirement=TWO_FINANCE)
    address = f"/requests/{request.request_id}"
    sign_in(page, site, address)
    page.get_by_role("button", name="Use your passkey").click()
    expect(page).to_have_url(at_name(site, address))

    chip.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    page.get_by_label("Why is this right?").fill("Bank confirmed by phone.\nTwice.")
    page.locator("#approve").get_by_role("button").click()
    expect(page.locator("#approve").get_by_role("alert")).to_contain_text("Nothing was sent")
    assert votes(site, request) == ()
    chip.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    page.locator("#approve").get_by_role("button").click()
    expect(page.get_by_role("status").first).to_contain_text("signed and stored")
    [vote] = votes(site, request)
    assert vote.reason.splitlines() == ["Bank confirmed by phone.", "Twice."]

    other = asked(site, "2", tier=4, requirement=TWO_FINANCE)
    page.goto(at_name(site, f"/requests/{other.request_id}/edit"))
    page.get_by_label("Amount").fill("200.00")
    page.get_by_label("Why do you change it?").fill("Only one lamp broke.")
    page.get_by_role("button", name="Look at the change").click()
    page.get_by_role("button", name="Change it so").click()
    expect(page).to_have_url(at_name(site, f"/requests/{other.request_id}"))
    [edit] = votes(site, other)
    assert edit.verdict == "edit"

    page.goto(at_name(site, "/passkeys"))
    page.get_by_text("Remove…").click()
    expect(page.get_by_text("It is your last one")).to_be_visible()
    page.get_by_role("button", name="Remove this passkey").click()
    expect(page.get_by_text("You have none")).to_be_visible()
    assert problems == []  # nothing was blocked: no script but ours, no markup made of text


def test_under_another_address_and_without_scripts_the_page_says_what_to_do(browser: Browser, site: Settings) -> None:
    page = browser.new_context().new_page()
    device(page)
    sign_in(page, site, "/passkeys")
    add(page, "work laptop")
    sign_in(page, site, "/requests")
    page.goto(page.url.replace("localhost", "127.0.0.1"))
    page.get_by_label("User name").fill(FRED.username)
    page.get_by_label("Organisation").fill(TENANT)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("alert")).to_contain_text(f"Passkeys work at {at_name(site, '')}")
    plain = browser.new_context(java_script_enabled=False).new_page()
    sign_in(plain, site, "/requests")
    plain.get_by_role("button", name="Use your passkey").click()
    expect(plain.get_by_role("alert")).to_contain_text("that needs JavaScript")


@pytest.mark.node
@pytest.mark.parametrize(("scheme", "viewport"), [("light", PHONE), ("dark", DESK)], ids=["light", "dark"])
def test_its_pages_fit_their_screen_and_axe_finds_nothing(
    browser: Browser, site: Settings, tmp_path: Path, scheme: str, viewport: dict[str, int]
) -> None:
    context = browser.new_context(bypass_csp=True, viewport=viewport, color_scheme=scheme)  # pyright: ignore[reportArgumentType] - Playwright's own types
    page = context.new_page()
    device(page)

    def looks_right(name: str) -> None:
        page.locator("main details").evaluate_all("all => all.forEach(one => one.open = true)")
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)  # kept by pytest for whoever wants to look
        assert axe.findings(page) == [], name
        widest = page.locator("main *").evaluate_all(
            "all => Math.max(...all.map(one => one.getBoundingClientRect().right))"
        )
        assert widest <= viewport["width"], name

    request = asked(site, tier=4, requirement=TWO_FINANCE)
    sign_in(page, site, "/passkeys")
    looks_right("none")
    add(page, "work laptop with quite a long name " + "x" * 20)
    looks_right("weak")
    sign_in(page, site, "/passkeys")
    looks_right("asked")
    page.get_by_role("button", name="Use your passkey").click()
    expect(page).to_have_url(re.compile("/passkeys$"))
    looks_right("passkeys")
    page.goto(at_name(site, f"/requests/{request.request_id}"))
    looks_right("request")
