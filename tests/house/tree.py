"""The tree under test: which files belong to the project, and small looks into them."""

import subprocess
from functools import cache
from pathlib import Path

from countersign import ROOMS, ROOT

HERE = Path(ROOT)
LOCKS = (
    "requirements/runtime.txt",
    "requirements/dev.txt",
    "tests/adversary/agentdojo/requirements.txt",
    "tests/peers/package-lock.json",
)


@cache
def project_files() -> tuple[str, ...]:
    """Every file that is, or with the next `git add` would be, committed; relative to the root, sorted."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - git is wherever PATH says
        cwd=HERE,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(sorted(name for name in listing.stdout.split("\0") if name and (HERE / name).is_file()))


def python_files(*, with_tests: bool) -> list[str]:
    """The project's Python files."""
    return [name for name in project_files() if name.endswith(".py") and (with_tests or not name.startswith("tests/"))]


def text_of(name: str) -> str | None:
    """A file's text; None when it is binary."""
    try:
        return (HERE / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def empty_clone(at: Path) -> Path:
    """A clone's skeleton: its build files, the bootstrap and every room, empty."""
    for name in ("pyproject.toml", "countersign.py", "countersign_first.pth", "LICENSE"):
        (at / name).write_bytes((HERE / name).read_bytes())
    for room in ROOMS:
        (at / room).mkdir()
        (at / room / "__init__.py").write_text('"""A room."""\n')
        (at / room / "__main__.py").write_text("print(__file__)\n")
    return at
