"""Documents keep their promises: commands exist, links lead somewhere, names stand in the code."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer

from cli.main import build
from tests.conftest import DatabaseAddresses
from tests.house.test_make import phony_targets
from tests.house.tree import HERE, project_files, text_of
from workers.embedded.postgres import program

DOCUMENTS = sorted(
    name for name in project_files() if name.endswith(".md") and not name.startswith(("agents/", "tests/"))
)
OURS = sorted(name for name in DOCUMENTS if name == "README.md" or name.startswith("docs/"))
SHELL = re.compile(r"^( *)```sh\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`(countersign(?: [^`]*)?)`")
CODE_NAME = re.compile(r"`([a-z_]+(?:/[A-Za-z0-9_.{},-]+)+)`")


@cache
def root() -> Any:  # noqa: ANN401 - a command group of the parser that Typer carries
    return typer.main.get_command(build())


def shell_lines(name: str) -> Iterator[str]:
    """Each command of the fenced `sh` blocks, continued lines joined, without comments."""
    for _, block in SHELL.findall(text_of(name) or ""):
        for line in str(block).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            for part in re.split(r" (?:&&|\||;) ", " ".join(words)):
                if part:
                    yield part


def wrong_countersign(words: list[str]) -> str:
    """What is wrong with the arguments of a `countersign` command; empty when it exists."""
    command, path = root(), "countersign"
    rest = list(words)
    while hasattr(command, "commands") and rest:
        word = rest.pop(0)
        if word.startswith("-"):
            continue
        if word not in command.commands:
            return f"{path} has no {word}"
        command, path = command.commands[word], f"{path} {word}"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("-") and word != "-" and word.partition("=")[0] not in known]
    return f"{path} has no {', '.join(unknown)}" if unknown and "--help" not in unknown else ""


def wrong(line: str) -> str:
    """What is wrong with a command line; empty for commands that are not ours."""
    words = line.split()
    match words[0].rpartition("/")[2]:
        case "countersign":
            return wrong_countersign(words[1:])
        case "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            return ", ".join(f"make has no {word}" for word in targets if word not in phony_targets())
        case _:
            return ""


@pytest.mark.parametrize("name", OURS)
def test_commands_in_documents_exist(name: str) -> None:
    found = {line: wrong(line) for line in shell_lines(name)}
    found |= {line: wrong(line) for line in INLINE.findall(text_of(name) or "") if "…" not in line}
    assert {line: mistake for line, mistake in found.items() if mistake} == {}


def test_the_rule_sees_a_command_that_is_not_there() -> None:
    assert wrong("countersign fly") == "countersign has no fly"
    assert wrong("countersign up --fast") == "countersign up has no --fast"
    assert wrong(".venv/bin/countersign agent fly home") == "countersign agent has no fly"
    assert wrong("make nothing ARGS=1") == "make has no nothing"
    assert wrong("countersign agent check support_refund --json") == ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (HERE / name).parent
    missing = [
        target
        for target in LINK.findall(text_of(name) or "")
        if "://" not in target and not target.startswith(("#", "mailto:"))
        if not (folder / target.partition("#")[0]).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("name", OURS)
def test_files_named_in_documents_exist(name: str) -> None:
    missing: list[str] = []
    for path in CODE_NAME.findall(text_of(name) or ""):
        group = re.search(r"\{([^}]*)\}", path)
        for part in group[1].split(",") if group else [""]:
            full = path.replace(group[0], part) if group else path
            if full.startswith("docker/secrets/"):
                continue  # made by each installation
            if full.split("/")[0] in {folder.name for folder in HERE.iterdir()} and not (HERE / full).exists():
                missing.append(full)
    assert missing == []


def test_every_decision_has_its_three_parts() -> None:
    records = [name for name in DOCUMENTS if re.match(r"docs/decisions/\d{4}-", name)]
    assert [int(name.split("/")[-1][:4]) for name in records] == list(range(1, len(records) + 1))
    for name in records:
        headings = re.findall(r"^## (.*)$", text_of(name) or "", re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], name


def test_the_words_of_the_glossary_are_the_words_of_the_code() -> None:
    # A name of the code in the second column must stand in the code.
    text = text_of("docs/GLOSSARY.md") or ""
    names = {
        name for row in re.findall(r"^\|[^|]*\|([^|]*)\|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert names
    code = "\n".join(text_of(name) or "" for name in project_files() if name.endswith((".py", ".sql")))
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", code)) == []


def test_sql_of_the_runbook_runs(database: DatabaseAddresses) -> None:
    blocks = re.findall(r"^```sql\n(.*?)^```", text_of("docs/OPERATIONS.md") or "", re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    done = subprocess.run(
        [program("psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-d", database.url],
        input="\n".join(blocks),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
