"""The bootstrap: whatever else is installed, `import workflows` and every other room resolve to this clone.

Other distributions own some of the rooms' names (`workflows` and `evals` among them) and an editable installation comes
after site-packages on sys.path. Importing this module, whose name is unique, puts the clone first. The installed
`countersign_first.pth` imports it at the start of every Python of the environment, so it must stay cheap: it imports
nothing that the interpreter has not loaded already.
"""

import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs each start of Python 5 ms
ROOMS = (
    "activities",
    "agents",
    "approvals",
    "cli",
    "contracts",
    "evals",
    "examples",
    "incidents",
    "policy",
    "settings",
    "store",
    "workers",
    "workflows",
)


def put_first() -> None:
    """Move the clone to the front of sys.path."""
    sys.path[:] = [ROOT, *(entry for entry in sys.path if entry != ROOT)]


def strangers() -> dict[str, str]:
    """The rooms that would not be imported from the clone, each with where it was found instead."""
    from importlib.util import find_spec  # noqa: PLC0415 - the start of every Python must not pay for it

    found: dict[str, str] = {}
    for room in ROOMS:
        spec = find_spec(room)
        origin = "nowhere" if spec is None else spec.origin or "a folder without __init__.py"
        if not origin.startswith(os.path.join(ROOT, room) + os.sep):  # noqa: PTH118 - as ROOT
            found[room] = origin
    return found


def main() -> None:
    """Run the `countersign` command; exit code 2 if a room would come from elsewhere."""
    put_first()
    if found := strangers():
        room, origin = next(iter(found.items()))
        sys.stderr.write(
            f"error: the package `{room}` resolves to {origin}, not to {ROOT}. "
            "Remove the other package or run `make install` in this clone.\n"
        )
        sys.exit(2)
    import gc  # noqa: PLC0415 - as in `strangers`

    # A command makes many objects while it starts and hardly any garbage: looking for it was a tenth of its time.
    gc.set_threshold(100_000)
    from cli.main import main as run  # noqa: PLC0415 - the path must be right first

    run()


put_first()

if __name__ == "__main__":
    main()
