"""The namespace of the runs: how long it keeps them, and by what they can be searched."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client

from workers.embedded.temporal import RETENTION_DAYS, SEARCH_ATTRIBUTES

__all__ = ["missing_search_attributes", "retention_days", "set_up_namespace"]

_SECONDS_A_DAY = 86_400


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
