"""Text of strangers on every page, in a real browser with scripts on: nothing of it runs, leaves or looks like ours."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from approvals.assets import Assets
from approvals.seen import seen_standing
from contracts.approval import ApprovalView
from contracts.canonical import digest_bytes
from settings import Settings
from store.approvals import StoredRequest
from store.database import Database
from store.seen import keep_page
from store.standing import find_standing
from tests.approvals.attacks.hostile import FIXED, hostile_view
from tests.approvals.attacks.hostile_store import DOUBT, HANDED_OVER, HELD, NAME, SCOPE_ID, fill
from tests.approvals.attacks.routes import ways
from tests.approvals.conftest import Office
from tests.approvals.scene import LENA, TENANT, Person, add_people
from tests.approvals.test_browser import arrive, asked, browser, in_store, site, votes
from tests.conftest import DatabaseAddresses

__all__ = ["browser", "site"]
pytestmark = pytest.mark.req("A2", "I4", "I9")
ROOT = Person("root", ("support-leads",), roles=("view", "approve", "kill", "undo", "administer"))
SWEPT: dict[str, tuple[str, ...]] = {
    "/requests/{request_id}": ("/requests/{first}", "/requests/{second}?whole=true", "/requests/{decoy}"),
    "/requests/{request_id}/edit": ("/requests/{second}/edit",),
    "/requests/{request_id}/seen/{digest}": ("/requests/{first}/seen/{seen}",),
    "/requests": ("/requests?scope=all", "/requests?state=history&scope=all"),
    "/requests/batch": ("/requests/batch",),
    "/decisions": ("/decisions?scope=all",),
    "/runs/{run_id}": (f"/runs/{HELD}", f"/runs/{HANDED_OVER}"),
    "/runs/{run_id}/steps": (f"/runs/{HELD}/steps",),
    "/doubts": ("/doubts",),
    "/doubts/{run_id}/{step}/{call}": (f"/doubts/{DOUBT}",),
    "/reviews": ("/reviews", "/reviews?label=wrong"),
    "/reviews/{run_id}/{step}/{call}": (f"/reviews/{HANDED_OVER}/2/0", f"/reviews/{HANDED_OVER}/3/0"),
    "/reviewers": ("/reviewers",),
    "/reviewers/mine": ("/reviewers/mine",),
    "/standing": ("/standing?every=true",),
    "/standing/new": ("/standing/new?like={plain}",),
    "/standing/{standing_id}": (f"/standing/{SCOPE_ID}",),
    "/standing/{standing_id}/seen/{digest}": (f"/standing/{SCOPE_ID}/seen/{{stands}}",),
    "/delegations": ("/delegations",),
    "/emergencies": ("/emergencies",),
    "/stop": ("/stop",),
    "/stop/confirm": ("/stop/confirm?" + urlencode({"scope": "run", "target": HELD}),),
    "/passkeys": ("/passkeys",),
    "/device": ("/device?" + urlencode({"code": NAME[:40]}),),
    "/sessions": ("/sessions",),
}
"""Addresses to look at for each page. Names of people, of tools and of what waits stand in the frame of every one."""
QUIET = {"/reviewers/mine": "figures alone", "/device": "a code is read as letters of ours, or not at all"}
"""Pages that are looked at although nothing of strangers is to be found on them."""
WITHOUT_STRANGERS = {
    "/": "leads to the inbox",
    "/sign-in": "nobody is known yet: it shows what its visitor typed, which test_routes attacks",
    "/sign-in/with/{tenant}": "leads to the tenant's provider",
    "/sign-in/back": "leads on, or says in our words why not",
    "/requests/live": "a stream of events without texts",
    "/requests/{request_id}/live": "a stream of events without texts",
    "/static/{stamp}/{name}": "files of ours",
    "/healthz": "one word",
    "/readyz": "one word",
}
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


async def test_every_page_is_looked_at_or_shows_nothing_of_strangers(office: Office) -> None:
    pages = {way.path for way in ways(office) if way.method == "GET" and not way.is_api}
    assert pages == SWEPT.keys() | WITHOUT_STRANGERS.keys()


@pytest.mark.browser
def test_nothing_that_a_stranger_wrote_is_more_than_text_on_any_page(
    browser: Browser, site: Settings, empty_database: DatabaseAddresses
) -> None:
    in_store(site, lambda db: add_people(db, ROOT))
    places = requests_in(browser, site)
    quiet = arrive(browser, site, "/requests", ROOT)
    fill(empty_database.owner_url, places["decoy"])
    places["stands"] = str(in_store(site, standing_kept))
    page = browser.new_context(storage_state=quiet.context.storage_state()).new_page()
    found = listening(page, site.web_url)
    wrong: dict[str, object] = {}
    for path, address in [(path, one) for path, addresses in SWEPT.items() for one in addresses]:
        found.clear()
        answer = page.goto(site.web_url + address.format(**places))
        assert answer is not None
        if answer.status != 200 or answer.request.redirected_from:
            wrong[address] = f"{answer.status} at {page.url}"
        elif problems := harm_on(page) | ({"what it did": found.copy()} if found else {}):
            wrong[address] = problems
        elif ("U+202E" in page.locator("main").inner_html()) is (path in QUIET):
            wrong[address] = "something" if path in QUIET else "nothing of theirs is on it"
    assert wrong == {}


def requests_in(browser: Browser, site: Settings) -> dict[str, str]:
    """A decided request, an open one of a low tier, and one that turns out to be a test."""
    view, _ = hostile_view()
    changes = {name: value for name, value in view.items() if name not in {"tenant", "run_id", "requirement"}}
    first, second, decoy = (
        asked(site, name, **{**changes, "tier": tier}) for name, tier in (("1", 3), ("2", 1), ("3", 3))
    )
    # A tool names its own arguments, as identifiers: where they stand in a form, only their values are a stranger's.
    named = {name: value for name, value in changes["arguments"].items() if name.isidentifier()}
    plain = asked(site, "4", **{**changes, "arguments": named})
    return {
        "first": first.request_id, "second": second.request_id, "decoy": decoy.request_id,
        "plain": plain.request_id, "seen": denied(browser, site, first),
    }  # fmt: skip


async def standing_kept(db: Database) -> str:
    """Keep a page on which somebody decided the standing approval. Its digest."""
    async with db.tenant(TENANT) as cursor:
        page = seen_standing(Assets(), await find_standing(cursor, TENANT, SCOPE_ID))
        found = digest_bytes(page.encode())
        await keep_page(cursor, TENANT, page)
        await cursor.execute(
            """insert into standing_votes (tenant, standing_id, person, display_name, verdict, reason, jws, seen)
               values (%s, %s, %s, %s, 'approve', %s, '', %s)""",
            (TENANT, SCOPE_ID, NAME, NAME, NAME, found),
        )
    return found.removeprefix("sha256:")


def denied(browser: Browser, site: Settings, request: StoredRequest) -> str:
    """Deny it in a browser. The digest of the page that was seen."""
    page = arrive(browser, site, f"/requests/{request.request_id}", LENA)
    page.locator("#deny textarea").fill(NAME)
    page.locator("#deny").get_by_role("button").click()
    [vote] = votes(site, request)
    return vote.seen.removeprefix("sha256:")


def harm_on(page: Page) -> dict[str, Any]:
    """What of a stranger's text is more than text on the page, and what of it hides."""
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
        "hidden characters": lambda: _hidden_in(str(page.evaluate(_WITHOUT_FIELDS))),
    }
    return {what: found for what, look in odd.items() if (found := look())}


def _hidden_in(html: str) -> list[str]:
    """What is before each place where characters stand that hide or reorder."""
    hits = re.finditer("[\u202e\u2066\u200b\U000e0041\ufeff\u2028]+", html)
    return sorted({re.split("(?:>|&gt;)(?:<|&lt;)/title", html[: hit.start()])[-2][-60:] for hit in hits})[:9]
