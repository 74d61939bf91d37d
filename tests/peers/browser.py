"""Finds a Chromium for the browser tests; `python -m tests.peers.browser` installs one where the system allows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# The shell is the same engine without the windows, menus and extensions of a desktop browser: half the processor time.
SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),)
INSTALL_TIMEOUT_S = 900


def find_browser() -> Path | None:
    """The browser named by COUNTERSIGN_BROWSER, or the first known one on PATH."""
    if named := os.environ.get("COUNTERSIGN_BROWSER"):
        return Path(named) if Path(named).is_file() else None
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    return next((place for place in PLACES if place.is_file()), None)


def _install() -> None:
    """Try Debian's package manager, as root or through a sudo that asks nothing."""
    apt = shutil.which("apt-get")
    if apt is None:
        return
    prefix: list[str] = []
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if sudo is None or subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode != 0:
            return
        prefix = [sudo, "-n"]
    for step in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", SHELL]):
        command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", apt, *step]
        sys.stdout.write(f"==> {' '.join(command)}\n")
        sys.stdout.flush()
        subprocess.run(command, check=False, timeout=INSTALL_TIMEOUT_S)


def main() -> int:
    """Print where the browser is; exit code 1 without one where COUNTERSIGN_REQUIRE_PEERS is set."""
    if find_browser() is None:
        _install()
    found = find_browser()
    if found is not None:
        sys.stdout.write(f"==> browser: {found}\n")
        return 0
    required = bool(os.environ.get("COUNTERSIGN_REQUIRE_PEERS"))
    sys.stderr.write(
        f"{'error' if required else 'WARNING'}: no Chromium found and none could be installed: the browser tests "
        f"{'cannot run' if required else 'WILL BE SKIPPED'}. Install it (Debian: apt-get install {SHELL}) or set "
        "COUNTERSIGN_BROWSER to the executable.\n"
    )
    return 1 if required else 0


if __name__ == "__main__":
    sys.exit(main())
