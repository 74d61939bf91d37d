"""What is installed is what was locked, and the locks name no place to fetch from."""

import json
import re
import tomllib
from typing import Any

import pytest

from tests.house.tree import HERE, LOCKS

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ \\;]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """Distribution name to version, of one requirements file."""
    return {match["name"]: match["version"] for match in PIN.finditer((HERE / lock).read_text(encoding="utf-8"))}


def direct(specifiers: list[str]) -> set[str]:
    """The normalised distribution names of some dependency specifiers."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~ ]", each)[0]).lower() for each in specifiers}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_declared_dependency_is_locked(project: dict[str, Any]) -> None:
    assert direct(project["project"]["dependencies"]) <= pins("requirements/runtime.txt").keys()
    assert direct(project["dependency-groups"]["dev"]) <= pins("requirements/dev.txt").keys()


def test_development_runs_the_versions_of_production() -> None:
    development = pins("requirements/dev.txt")
    differing = {
        name: (version, development.get(name))
        for name, version in pins("requirements/runtime.txt").items()
        if development.get(name) != version
    }
    assert differing == {}


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.endswith(".txt")])
def test_every_pin_has_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (HERE / lock).read_text(encoding="utf-8").strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_place_to_fetch_from(lock: str) -> None:
    text = (HERE / lock).read_text(encoding="utf-8")
    assert re.findall(r'"resolved".*|^--.*| @ .*|file:.*', text, re.MULTILINE) == []
    if lock.endswith(".txt"):
        assert "://" not in text


def test_npm_peers_are_pinned_exactly_and_locked_by_hash() -> None:
    wanted = json.loads((HERE / "tests/peers/package.json").read_text(encoding="utf-8"))["dependencies"]
    packages = json.loads((HERE / "tests/peers/package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []
