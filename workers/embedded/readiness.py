"""Ask a component whether it is ready: one question, one answer, a short limit."""

import asyncio
from typing import assert_never

import httpx
import psycopg
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from workers.embedded.probe import HttpProbe, PostgresProbe, Probe, TemporalProbe

__all__ = ["answers"]

_LIMIT_S = 2


async def answers(probe: Probe) -> bool:
    """Whether the component is ready now; false also when it does not answer within two seconds."""
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await _ask(probe)
    except TimeoutError:
        return False


async def _ask(probe: Probe) -> bool:
    match probe:
        case HttpProbe():
            return await _ask_http(probe.url)
        case PostgresProbe():
            return await _ask_postgres(probe.url)
        case TemporalProbe():
            return await _ask_temporal(probe)
        case _:
            assert_never(probe)


async def _ask_http(url: str) -> bool:
    # No proxy of the environment: the question is for this machine.
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False


async def _ask_postgres(url: str) -> bool:
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=_LIMIT_S) as connection:
            await connection.execute("select 1")
    except psycopg.Error:
        return False
    return True


async def _ask_temporal(probe: TemporalProbe) -> bool:
    try:
        client = await Client.connect(probe.address, namespace=probe.namespace)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=probe.namespace))
    except (RPCError, RuntimeError):
        return False
    return True
