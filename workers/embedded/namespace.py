"""The namespace of the runs: how long it keeps them, and by what they can be searched."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workers.embedded.temporal import RETENTION_DAYS, SEARCH_ATTRIBUTES

__all__ = ["missing_search_attributes", "prepare_namespace", "retention_days", "set_up_namespace"]

_SECONDS_A_DAY = 86_400


async def set_up_namespace(address: str, namespace: str) -> None:
    """Raise the retention and register the search attributes that are missing. Repeatable."""
    await prepare_namespace(await Client.connect(address, namespace=namespace))


async def prepare_namespace(client: Client) -> tuple[str, ...]:
    """Make the client's namespace what runs need. Returns what was done, for people. Repeatable.

    Raises:
        RPCError: the server does not answer or does not allow it; a namespace that was just made can take seconds to
            be known everywhere.
    """
    done: list[str] = []
    keep = Duration()
    keep.FromTimedelta(timedelta(days=RETENTION_DAYS))
    try:
        days = await retention_days(client)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=keep)
        )
        days = RETENTION_DAYS
        done.append("made")
    if days < RETENTION_DAYS:
        config = NamespaceConfig(workflow_execution_retention_ttl=keep)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(namespace=client.namespace, config=config)
        )
        done.append(f"keeps runs for {RETENTION_DAYS} days")
    missing = await missing_search_attributes(client)
    if missing:
        kinds = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
        )
        done.append(f"search attributes {', '.join(missing)}")
    return tuple(done)


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
