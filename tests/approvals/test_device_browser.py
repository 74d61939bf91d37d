"""Somebody who has no password here, only a sign-in at a provider, lets the command line in and decides with it."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from settings import Settings
from store.database import Database
from tests.approvals.scene import ask, settings_for
from tests.approvals.test_openid import real_provider, served, sign_in_file
from tests.conftest import DatabaseAddresses
from tests.peers.need import need_browser

pytestmark = [pytest.mark.req("I6", "I9"), pytest.mark.browser, pytest.mark.node]
COMMAND = [sys.executable, "-m", "countersign", "approvals"]


def at_home(monkeypatch: pytest.MonkeyPatch, settings: Settings, url: str) -> None:
    """The environment of somebody at the same installation, for the commands that they type."""
    ours = {"STATE_DIR": str(settings.state_dir), "WEB_PORT": str(settings.web_port), "DATABASE_URL": url}
    for name, value in ours.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    monkeypatch.delenv("COUNTERSIGN_PASSWORD", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")


def let_it_in(page: Page, address: str, code: str, shots: Path) -> None:
    """What a person does with the address that the command line printed."""
    page.goto(address)
    page.get_by_role("link", name="Acme login").click()
    page.get_by_placeholder("Enter any login").fill("lena")
    page.get_by_placeholder("and password").fill("anything")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Code")).to_have_value(code)
    page.screenshot(path=shots / "code.png", full_page=True)
    page.get_by_role("button", name="Show what it asks for").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("countersign command line at")
    expect(page.get_by_text("decide requests in your name")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=shots / "asked.png", full_page=True)
    page.get_by_role("button", name="Yes, I started it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is in")
    page.screenshot(path=shots / "in.png", full_page=True)


async def opened(url: str, role: str) -> str:
    async with Database(url, role=role) as db:
        return (await ask(db)).request_id


def test_who_signs_in_at_a_provider_only_decides_on_the_command_line(
    empty_database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, port = need_browser(), free_port()
    with real_provider(f"http://127.0.0.1:{port}/sign-in/back", tmp_path / "provider.log") as issuer:
        settings = settings_for(
            empty_database.url, tmp_path / "office", port=port, temporal_address=f"127.0.0.1:{free_port()}",
            sign_in_file=sign_in_file(tmp_path / "oidc", issuer=issuer, local_accounts=False),
        )  # fmt: skip
        request_id = asyncio.run(opened(empty_database.url, settings.database_role))
        at_home(monkeypatch, settings, empty_database.url)

        def countersign(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*COMMAND, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )

        server, thread = served(settings)
        try:
            assert "countersign approvals sign-in" in countersign("list").stderr
            with (
                subprocess.Popen(
                    [*COMMAND, "sign-in", "--tenant", "acme"], text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                ) as waiting,
                sync_playwright() as playwright,
            ):  # fmt: skip
                assert waiting.stderr is not None
                told = waiting.stderr.readline() + waiting.stderr.readline()
                address, code = re.findall(r"Open (\S+)", told)[0], re.findall(r"code (\S+)\.", told)[0]
                browser = playwright.chromium.launch(
                    executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
                )
                page = browser.new_page(viewport={"width": 360, "height": 780})
                let_it_in(page, address, code, tmp_path)
                said, _ = waiting.communicate(timeout=60)
                assert waiting.returncode == 0
                assert "signed in as Lena Lead" in said
                done = countersign("approve", request_id, "--yes", "--json")
                assert done.returncode == 0, done.stderr
                assert json.loads(done.stdout)["vote"]["display_name"] == "Lena Lead"
                page.goto(f"http://127.0.0.1:{port}/sessions")
                card = page.locator("section", has_text="countersign command line at")
                expect(card.get_by_text("Last used")).to_be_visible()
                page.screenshot(path=tmp_path / "sessions.png", full_page=True)
                card.get_by_role("button", name="End it now").click()
                expect(card).to_have_count(0)
                refused = countersign("show", request_id)
                assert (refused.returncode, "countersign approvals sign-in" in refused.stderr) == (2, True)
                browser.close()
        finally:
            server.should_exit = True
            thread.join(20)
