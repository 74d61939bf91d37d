"""A new agent's folder, written from a template that passes its own check."""

import keyword
import re
from pathlib import Path
from string import Template

from cli.output import CliError

__all__ = ["write_agent"]

TEMPLATE = Path(__file__).parent / "agent_template"
_NAME = re.compile(r"^[a-z][a-z0-9_]{1,30}$")
_OWNER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,118}$")


def write_agent(root: Path, name: str, owner: str) -> list[Path]:
    """Write the folder. Returns its files, sorted.

    Raises:
        CliError: a name or owner that cannot be used, a folder that is there, or a root that cannot be written.
    """
    if not _NAME.match(name) or keyword.iskeyword(name):
        raise CliError(
            f"{name!r} cannot be an agent's name. Take 2 to 31 lower-case letters, digits and underscores, a letter "
            "first, and no word of Python: for instance invoice_check."
        )
    if not _OWNER.match(owner):
        raise CliError(f"{owner!r} cannot be an owner. Name a team with letters, digits, spaces and . _ @ - only.")
    folder = root / name
    if folder.exists():
        raise CliError(f"{folder} exists already. Take another name, or change that one: nothing was written.")
    values = {"name": name, "owner": owner, "dashed": name.replace("_", "-"), "title": _title(name)}
    # Rendered whole before anything is written: a mistake in the template leaves no half a folder.
    texts = {
        source.name.removesuffix(".txt"): Template(source.read_text("utf-8")).substitute(values)
        for source in sorted(TEMPLATE.glob("*.txt"))
    }
    try:
        folder.mkdir(parents=True)
        for file, text in texts.items():
            (folder / file).write_text(text, "utf-8")
    except OSError as error:
        raise CliError(f"{folder} cannot be written: {error.strerror}. Check agents_dir.") from None
    return sorted(folder.iterdir())


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
