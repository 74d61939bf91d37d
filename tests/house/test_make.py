"""The Makefile documents itself and fails when something fails."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import HERE

MAKE_TIMEOUT_S = 60
MAKE = shutil.which("make") or "make"


def phony_targets() -> set[str]:
    declared = re.search(r"^\.PHONY: (.*)$", (HERE / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    return set(declared[1].split())


def make(*args: str, cwd: Path = HERE) -> subprocess.CompletedProcess[str]:
    # The tests themselves run under make: its flags and its job server are not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [MAKE, *args],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=MAKE_TIMEOUT_S,
        env=environment,
    )


def test_plain_make_lists_every_target_with_a_sentence() -> None:
    done = make()
    assert done.returncode == 0
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert listed.keys() == phony_targets()


def test_ci_runs_make_test_and_requires_the_peers() -> None:
    script = HERE / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "exec make test"
    assert any("COUNTERSIGN_REQUIRE_PEERS=1" in line for line in lines)


@pytest.mark.parametrize("failing", ["ruff", "pytest", "lint-imports", "basedpyright"])
def test_make_test_fails_when_any_part_fails(tmp_path: Path, failing: str) -> None:
    shutil.copy(HERE / "Makefile", tmp_path)
    shutil.copytree(HERE / "requirements", tmp_path / "requirements")
    for name in ("pyproject.toml", "countersign_first.pth"):
        shutil.copy(HERE / name, tmp_path)
    peers = tmp_path / "tests" / "peers"
    (peers / "node_modules").mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "tests" / "peers" / name, peers)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "ruff", "pytest", "lint-imports", "basedpyright"):
        program = programs / name
        program.write_text(f"#!/bin/sh\nexit {3 if name == failing else 0}\n")
        program.chmod(0o700)
    (tmp_path / ".venv" / ".installed").touch()
    (peers / "node_modules" / ".installed").touch()
    done = make("test", cwd=tmp_path)
    assert done.returncode != 0
    assert f".venv/bin/{failing}" in done.stdout
