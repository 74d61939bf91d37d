"""`make trial`: from the link in a mail to a decision on a phone, in seconds, with the pauses that a person makes.

A real notice over SMTP, the product's own form, Chromium at phone width. Pauses are slept, and the clock is the wall's:
what the machine takes is in it. Constants and their sources:

- thinking before an act 1.35 s, pointing at a target 1.10 s: Card, Moran and Newell, "The keystroke-level model for
  user performance time with interactive systems", Communications of the ACM 23(7), 1980 (pointing with a mouse: a tap
  on a phone takes less)
- 36.2 words of five characters a minute on a phone: Palin and others, "How do people type on mobile devices?",
  MobileHCI 2019
- 238 words a minute read silently: Brysbaert, "How many words do we read per minute?", Journal of Memory and Language
  109, 2019
"""

import asyncio
import re
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from playwright.async_api import Browser, Locator, Page, async_playwright
from rich.console import Console
from rich.table import Table

from activities.notify.channels import send
from activities.notify.words import notice_of
from benchmarks.approval_data import GROUPS, fill
from benchmarks.web_pages import PASSWORD, ROLE, TENANT, form_process, quiet
from contracts.notice import NoticeKind
from settings.notify import EmailChannel, Smtp
from store.accounts import NewAccount, add_account
from store.database import Database
from tests.peers.browser import find_browser
from workers.embedded.database import create_application_database
from workers.embedded.ports import some_free
from workers.embedded.postgres import LOGIN, PostgresServer
from workers.embedded.supervisor import Supervisor

THINK_S, POINT_S = 1.35, 1.10
CHARACTER_S = 60 / (36.2 * 5)
WORD_S = 60 / 238
WANTED_S = 20
_PHONE = {"width": 390, "height": 844}
_TRIES = 3
_LINK = re.compile(r"https?://\S+/requests/apr-[a-z2-7]{26}")
_WAYS = ("signed in already", "password manager", "everything typed")


@dataclass
class Mailbox:
    """A mail server that keeps what it gets."""

    mails: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd finds its hooks by these names
        """Keep one."""
        self.mails.append((envelope.original_content or b"").decode())
        return "250 kept"


@dataclass
class Person:
    """Hands and eyes: every act takes its time, and what was spent on what is added up."""

    reading_s: float = 0.0
    acting_s: float = 0.0

    async def read(self, text: Locator) -> None:
        """Every word of it."""
        words = [word for word in (await text.inner_text()).split() if any(map(str.isalnum, word))]
        seconds = len(words) * WORD_S
        self.reading_s += seconds
        await asyncio.sleep(seconds)

    async def tap(self, target: Locator) -> None:
        """Think, point, touch."""
        await self._spend(THINK_S + POINT_S)
        await target.click()

    async def type(self, target: Locator, text: str) -> None:
        """Into a field, character by character."""
        await self._spend(POINT_S)
        await target.clear()
        await target.press_sequentially(text, delay=CHARACTER_S * 1_000)
        self.acting_s += len(text) * CHARACTER_S

    async def _spend(self, seconds: float) -> None:
        self.acting_s += seconds
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Trial:
    """One way from the mail to the decision."""

    way: str
    total_s: float
    reading_s: float
    acting_s: float


async def main() -> int:
    """Try each way, print the seconds."""
    browser_path = find_browser()
    if browser_path is None:
        raise SystemExit("no Chromium: run `make browser` or set COUNTERSIGN_BROWSER")
    folder = Path(tempfile.mkdtemp(prefix="countersign-trial-"))
    postgres = PostgresServer.at(folder / "postgres")
    servers = Supervisor([postgres.component(quiet)], log_folder=folder, say=quiet)
    try:
        await servers.start()
        create_application_database(postgres)
        ids = await _asked(postgres)
        component = form_process(folder, postgres.url(user=LOGIN))
        form = Supervisor([component], log_folder=folder, say=quiet)
        try:
            await form.start()
            links = [await _mailed(component.address, one) for one in ids]
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
                found = [
                    await _trial(browser, way, links.pop()) for way in _WAYS for _ in range(_TRIES)
                ]  # fmt: skip
                await browser.close()
        finally:
            await form.stop()
    finally:
        await servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    _print(found)
    return 0


async def _asked(postgres: PostgresServer) -> list[str]:
    """Requests of tier 3 that lena may decide alone."""
    async with Database(postgres.url(user=LOGIN), role=ROLE) as database:
        await fill(database, postgres.url(), TENANT, requests=600, open_requests=300)
        new = NewAccount(
            tenant=TENANT, username="lena", person="lena", display_name="Lena", groups=GROUPS[:2],
            roles=("view", "approve"),
        )  # fmt: skip
        async with database.tenant(TENANT) as cursor:
            await add_account(cursor, new, PASSWORD)
            await cursor.execute(
                """select request_id from approval_requests where tenant = %s and state = 'open' and tier = 3
                   and money_minor is not null and groups && %s::text[] order by request_id limit %s""",
                (TENANT, list(GROUPS[:2]), len(_WAYS) * _TRIES),
            )
            return [str(row["request_id"]) for row in await cursor.fetchall()]


async def _mailed(web_url: str, request_id: str) -> str:
    """Send the notice as the product does, and find its link in what arrived."""
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=some_free())
    server.start()
    try:
        now = datetime.now(UTC)
        notice = notice_of(
            NoticeKind.REQUESTED, request_id=request_id, tier=3, due=now + timedelta(hours=1),
            expires=now + timedelta(days=1), web_url=web_url,
        )  # fmt: skip
        channel = EmailChannel(name="leads", kind="email", to=("lena@example.com",))
        smtp = Smtp(host="127.0.0.1", port=server.port, security="none", sender="Countersign <notices@example.com>")
        await send(channel, notice, smtp, Path())
    finally:
        server.stop()
    (mail,) = box.mails
    link = _LINK.search(mail.replace("=\r\n", ""))
    if link is None:
        raise SystemExit("the mail has no link")
    return link[0]


async def _trial(browser: Browser, way: str, link: str) -> Trial:
    """Once, in a fresh browser."""
    context = await browser.new_context(viewport=_PHONE, has_touch=True)  # pyright: ignore[reportArgumentType] - Playwright's own type
    page, person = await context.new_page(), Person()
    if way == "signed in already":
        await page.goto(link)
        await _sign_in(page)
    began = time.perf_counter()
    await page.goto(link)
    if way == "password manager":  # it fills all fields at once
        await person.tap(page.get_by_label("User name"))
        await _sign_in(page, person)
    elif way == "everything typed":
        for label, text in (("Organisation", TENANT), ("User name", "lena"), ("Password", PASSWORD)):
            await person.type(page.get_by_label(label), text)
        await person.tap(page.get_by_role("main").get_by_role("button", name="Sign in"))
    await person.read(page.locator("section.ask"))
    await person.tap(page.locator(".thumb-bar").get_by_role("link", name=re.compile("^Approve")))
    await person.read(page.locator(".restate"))
    await person.tap(page.locator("#approve").get_by_role("button"))
    await page.get_by_role("status").filter(has_text="Your approval").wait_for()
    total_s = time.perf_counter() - began
    with suppress(Exception):
        await context.close()
    return Trial(way, total_s, person.reading_s, person.acting_s)


async def _sign_in(page: Page, person: Person | None = None) -> None:
    for label, text in (("Organisation", TENANT), ("User name", "lena"), ("Password", PASSWORD)):
        await page.get_by_label(label).fill(text)
    button = page.get_by_role("main").get_by_role("button", name="Sign in")
    await (person.tap(button) if person else button.click())
    await page.locator("section.ask").wait_for()


def _print(found: list[Trial]) -> None:
    table = Table(title="From the link in a mail to a decision, on a phone", title_justify="left")
    for column in ("", "seconds", "reading", "hands and thinking", "machine"):
        table.add_column(column, justify="right" if column else "left")
    for way in _WAYS:
        trials = sorted((one for one in found if one.way == way), key=lambda one: one.total_s)
        middle = trials[len(trials) // 2]
        machine_s = middle.total_s - middle.reading_s - middle.acting_s
        numbers = (middle.total_s, middle.reading_s, middle.acting_s, machine_s)
        table.add_row(way, *(f"{number:.1f}" for number in numbers))
    Console().print(table)
    print(f"wanted: less than {WANTED_S} s, signed in already; middle of {_TRIES} trials")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
