"""Our packages are the ones imported, whatever else the environment holds."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

from countersign import ROOMS
from tests.house.tree import empty_clone

WHERE_ALL = "import importlib\nfor room in {rooms!r}: print(importlib.import_module(room).__file__)\n"
COMMAND_TIMEOUT_S = 60


class Installed(NamedTuple):
    """A clone installed editable into a throw-away environment that also holds strangers with our names."""

    clone: Path
    environment: Path
    elsewhere: Path

    def run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment from an unrelated folder."""
        return subprocess.run(
            [self.environment / "bin" / program, *args],
            cwd=self.elsewhere,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    clone = empty_clone(tmp_path_factory.mktemp("clone"))
    probe = WHERE_ALL.format(rooms=ROOMS).replace("\n", "\n    ")
    (clone / "cli" / "main.py").write_text(f'"""Says where each room is."""\n\n\ndef main() -> None:\n    {probe}\n')
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True, with_pip=False)
    site_packages = next(environment.glob("lib/python*/site-packages"))
    for name in ("workflows", "evals", "store"):
        (site_packages / name).mkdir()
        (site_packages / name / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    # pip and hatchling are borrowed from the environment that runs the tests: no network.
    (site_packages / "zz_borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    ours = Installed(clone, environment, tmp_path_factory.mktemp("elsewhere"))
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    done = ours.run("python", "-m", "pip", "install", *options, "--editable", str(clone))
    assert done.returncode == 0, done.stderr
    return ours


def expected(clone: Path) -> list[str]:
    return [str(clone / room / "__init__.py") for room in ROOMS]


def test_plain_import_resolves_every_room_to_the_clone(installed: Installed) -> None:
    done = installed.run("python", "-c", WHERE_ALL.format(rooms=ROOMS))
    assert done.stdout.splitlines() == expected(installed.clone), done.stderr


def test_isolated_python_resolves_every_room_to_the_clone(installed: Installed) -> None:
    done = installed.run("python", "-I", "-c", WHERE_ALL.format(rooms=ROOMS))
    assert done.stdout.splitlines() == expected(installed.clone), done.stderr


@pytest.mark.parametrize("room", ["workflows", "evals", "store", "workers"])
def test_dash_m_resolves_to_the_clone(installed: Installed, room: str) -> None:
    done = installed.run("python", "-m", room)
    assert done.stdout.strip() == str(installed.clone / room / "__main__.py"), done.stderr


def test_console_script_resolves_every_room_to_the_clone(installed: Installed) -> None:
    done = installed.run("countersign")
    assert done.stdout.splitlines() == expected(installed.clone), done.stderr


def test_bootstrap_needs_no_installation(installed: Installed) -> None:
    done = subprocess.run(
        [sys.executable, "-I", installed.clone / "countersign.py"],
        cwd=installed.elsewhere,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    assert done.stdout.splitlines() == expected(installed.clone), done.stderr


def test_a_room_from_elsewhere_stops_the_command(installed: Installed) -> None:
    room = installed.clone / "evals"
    aside = room.rename(installed.clone / "aside")
    try:
        done = installed.run("countersign")
    finally:
        aside.rename(room)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the package `evals` resolves to ")
    assert len(done.stderr.splitlines()) == 1


def test_bootstrap_costs_no_import_beyond_its_own(installed: Installed) -> None:
    show = "import sys; print(*sorted(sys.modules))"
    with_it = installed.run("python", "-c", show).stdout.split()
    bare = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.main(); {show}"],
        cwd=installed.elsewhere,
        check=True,
        capture_output=True,
        text=True,
        env={},
    ).stdout.split()
    assert set(with_it) - set(bare) <= {"countersign"}
