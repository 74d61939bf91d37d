"""WCAG 2.2 AA as axe-core sees a page."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page

from tests.peers.need import need_package

__all__ = ["admitted", "findings"]

_OPTIONS = json.dumps(
    {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        "resultTypes": ["violations"],  # what passes is checked and not told: telling it takes half of the time
    }
)


@contextmanager
def admitted(page: Page, **options: Any) -> Generator[Page]:  # noqa: ANN401 - Playwright's own options
    """A page of the same person that axe may enter: it is a script, which our own policy forbids."""
    assert page.context.browser is not None
    context = page.context.browser.new_context(
        bypass_csp=True, storage_state=page.context.storage_state(), viewport=page.viewport_size, **options
    )
    yield context.new_page()
    context.close()


def findings(page: Page, within: str = "html") -> list[tuple[str, list[tuple[str, str]]]]:
    """Every broken rule with its first elements and what is wrong with them."""
    _, folder = need_package("axe-core")
    page.evaluate((folder / "axe.min.js").read_text())
    broken: list[dict[str, Any]] = page.evaluate(
        f"() => axe.run({json.dumps(within)}, {_OPTIONS}).then(found => found.violations)"
    )
    return [(rule["id"], [(node["html"], node["failureSummary"]) for node in rule["nodes"]][:3]) for rule in broken]
