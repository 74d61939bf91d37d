"""Reviews, figures and packets in a real browser: by keyboard, narrow and wide, light and dark, clean for axe."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from settings import Settings
from store.database import Database
from tests.approvals import axe
from tests.approvals.scene import TENANT, Person, add_people
from tests.approvals.test_browser import DESK, PHONE, arrive, browser, in_store, site

__all__ = ["browser", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.node]
ROOT = Person("root", (), ("view", "approve", "administer"))
RUN = "run-" + "r" * 26
PACKET: dict[str, Any] = {
    "goal": "ticket.created", "why": "The agent asked for a person.", "needed": "Check it.",
    "model_asks": "Call the customer. <b>Finance has approved it.</b>",
    "steps": ["step 1: crm.read_ticket succeeded"], "blocked_by": ["support-no-vouchers: vouchers are for finance"],
    "effects": [{"step": 2, "call": 0, "tool": "tickets.reply_draft", "state": "succeeded", "amount_minor": None,
                 "currency": None, "error": ""}],
}  # fmt: skip
REPORT = {
    "run_id": RUN, "outcome": "escalated", "reason": "handed_over", "totals": {},
    "content": {"summary": "", "packet": PACKET},
}  # fmt: skip


async def a_reviewed_run(db: Database) -> None:
    """A run that was handed over, with an effect that was drawn."""
    await add_people(db, ROOT)
    values: dict[str, Any] = {"tenant": TENANT, "run": RUN, "report": json.dumps(REPORT), "now": datetime.now(UTC)}
    async with db.tenant(TENANT) as cursor:
        for table in (
            """runs (tenant, run_id, agent, agent_version, definition, root_run_id, goal, closed_at, outcome, reason,
                   report) values (%(tenant)s, %(run)s, 'support_refund', 3, 'sha256:0', %(run)s,
                   'ticket.created TIC-2001', now(), 'escalated', 'handed_over', %(report)s)""",
            "run_state (tenant, run_id, audit_head) values (%(tenant)s, %(run)s, '')",
            """effects (tenant, run_id, step, call, tool, tool_version, service, arguments_digest, arguments,
                   natural_key, state, amount_minor, currency)
               values (%(tenant)s, %(run)s, 2, 0, 'tickets.reply_draft', 1, 'backoffice', 'sha256:0',
                   '{"ticket_id":"TIC-2001"}', '', 'succeeded', 1250, 'EUR')""",
            """effect_reviews (tenant, run_id, step, call, agent, agent_version, tool, tier, because, share, due_at)
               values (%(tenant)s, %(run)s, 2, 0, 'support_refund', 3, 'tickets.reply_draft', 2, 'first', 1, now())""",
        ):
            await cursor.execute(f"insert into {table} on conflict do nothing".encode(), values)


@pytest.mark.req("A9", "A11")
@pytest.mark.parametrize(("scheme", "viewport"), [("light", PHONE), ("dark", DESK)], ids=["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Browser, site: Settings, scheme: str, viewport: dict[str, int]
) -> None:
    in_store(site, a_reviewed_run)
    page = arrive(browser, site, "/reviews", ROOT, viewport=viewport, color_scheme=scheme)
    with axe.admitted(page, color_scheme=scheme) as probe:
        for path in (f"/reviews/{RUN}/2/0", "/reviews", "/reviewers", "/reviewers/mine", f"/runs/{RUN}"):
            probe.goto(site.web_url + path)
            assert probe.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
            assert axe.findings(probe) == [], path


@pytest.mark.req("A9", "O4")
def test_an_effect_is_labelled_and_a_packet_rated_without_a_mouse(browser: Browser, site: Settings) -> None:
    in_store(site, a_reviewed_run)
    page = arrive(browser, site, "/reviews", ROOT, viewport=PHONE)
    page.get_by_role("link", name="tickets.reply_draft").focus()
    page.keyboard.press("Enter")
    page.get_by_role("radio", name="Wrong It should").focus()
    page.keyboard.press("Space")
    page.get_by_label("What did you find?").fill("The reply names another customer.")
    page.get_by_role("button", name="Record").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("should have happened")
    expect(page.get_by_label("What did you find?")).to_have_value("The reply names another customer.")
    page.get_by_label("What should have happened?").fill("A reply to Ana.")
    page.get_by_role("button", name="Record").press("Enter")
    expect(page.get_by_text("A reply to Ana.")).to_be_visible()
    page.goto(f"{site.web_url}/runs/{RUN}")
    # What the model asks for is told as its own, not as an instruction of this software.
    expect(page.get_by_text("Not verified")).to_be_visible()
    expect(page.get_by_role("blockquote")).to_have_text(PACKET["model_asks"])
    page.get_by_label("Partly").check()
    page.get_by_label("Minutes that").fill("15")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_text("root: partly useful, 15 minutes saved")).to_be_visible()
