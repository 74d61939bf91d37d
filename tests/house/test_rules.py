"""The habits of STYLE that a machine can check."""

import ast
import re

import pytest

from tests.house.tree import HERE, LOCKS, project_files, python_files, text_of

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
# A silenced check names its rule and says why, as S608 does: "- the names are constants".
SILENCED = re.compile(r"#\s*(noqa\b|type:\s*ignore\b|pyright:\s*ignore\b)")
EXPLAINED = re.compile(
    r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ?ignore\[[\w, -]+\]|pyright: ?ignore\[[\w, ]+\])\s+(-|#)\s*\w.{6,}"
)
MACHINE_PATH = re.compile(r"(?<![\w.}])/(root|work|Users|home/\w+)/")
INDEX = re.compile(
    "|".join(["--(extra-)?index" + "-url", "--find" + "-links", "pypi" + r"\.org/simple", "registry" + r"\.npmjs"])
)


def calls_to_environment(tree: ast.AST) -> list[int]:
    lines: list[int] = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=attribute) if attribute in ENVIRONMENT:
                lines.append(node.lineno)
            case ast.ImportFrom(module="os", names=names) if any(name.name in ENVIRONMENT for name in names):
                lines.append(node.lineno)
            case _:
                pass
    return lines


def silenced_without_reason(text: str) -> list[int]:
    lines = text.splitlines()
    return [n for n, line in enumerate(lines, 1) if SILENCED.search(line) and not EXPLAINED.search(line)]


def test_only_settings_read_the_environment() -> None:
    found = [
        f"{name}:{line}"
        for name in python_files(with_tests=False)
        if not name.startswith("settings/")
        for line in calls_to_environment(ast.parse((HERE / name).read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize("code", ["import os\nos.environ['A']", "from os import getenv", "import os\nos.getenv('A')"])
def test_environment_rule_sees_each_way_to_read_it(code: str) -> None:
    assert calls_to_environment(ast.parse(code))


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        name: len((HERE / name).read_text(encoding="utf-8").splitlines()) for name in python_files(with_tests=True)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_a_page() -> None:
    long: dict[str, int] = {}
    for name in python_files(with_tests=True):
        for node in ast.walk(ast.parse((HERE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # The body counts: a keyword signature and a docstring are a table, not a flow to hold in mind.
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lines = (node.end_lineno or first.lineno) - first.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{name}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_every_silenced_check_says_why() -> None:
    found = [
        f"{name}:{line}"
        for name in python_files(with_tests=True)
        if name != "tests/house/test_rules.py"
        for line in silenced_without_reason((HERE / name).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("x = 1  # noqa", False),
        ("x = 1  # noqa: S608", False),
        ("x = 1  # type: ignore", False),
        ("x = 1  # noqa: S608 - the table's name is a constant", True),
        ("x = 1  # pyright: ignore[reportPrivateUsage] - there is no public way", True),
        ("x = 1  # type: ignore[attr-defined]  # the stub lags behind", True),
    ],
)
def test_reason_rule_tells_explained_from_bare(line: str, accepted: bool) -> None:  # noqa: FBT001 - a table's column
    assert (silenced_without_reason(line) == []) is accepted


def test_every_ignored_rule_of_ruff_says_why() -> None:
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    lint = text[text.index("[tool.ruff.lint]") : text.index("[tool.pyright]")]
    rules = re.findall(r'^ +"[A-Z]+\d+",.*$', lint, re.MULTILINE)
    assert rules
    assert [rule for rule in rules if not re.search(r"#\s+\S.{5,}", rule)] == []


def test_no_committed_text_names_this_machine_or_an_index() -> None:
    found: list[str] = []
    for name in project_files():
        text = "" if name in {*LOCKS, "Makefile", "tests/house/test_rules.py"} else text_of(name) or ""
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line) or INDEX.search(line):
                found.append(f"{name}:{number} {line.strip()[:80]}")
    assert found == []
