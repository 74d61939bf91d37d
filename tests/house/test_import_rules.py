"""The import contracts fail when a wall is crossed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import empty_clone

LINT_TIMEOUT_S = 60


def lint(clone: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
        cwd=clone,
        check=False,
        capture_output=True,
        text=True,
        timeout=LINT_TIMEOUT_S,
    )


def test_empty_rooms_cross_no_wall(tmp_path: Path) -> None:
    done = lint(empty_clone(tmp_path))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "imports", "broken"),
    [
        ("workflows", "httpx", "What decides does no input or output"),
        ("policy", "openai", "What decides does no input or output"),
        ("contracts", "sqlmodel", "What decides does no input or output"),
        ("workflows", "store", "Workflows import contracts and policy alone"),
        ("policy", "settings", "Policy imports contracts alone"),
        ("agents", "store", "Agents import contracts alone"),
        ("examples", "contracts", "The example system of record knows nothing of ours"),
        ("activities", "workflows", "Activities do not know workflows, processes or views"),
    ],
)
def test_crossing_a_wall_fails_the_check(tmp_path: Path, room: str, imports: str, broken: str) -> None:
    clone = empty_clone(tmp_path)
    (clone / room / "breach.py").write_text(f"import {imports}\n")
    done = lint(clone)
    assert done.returncode == 1
    assert f"{broken} BROKEN" in done.stdout
