"""Peers for the wire: aimock, a third party's mock of the protocols, and a server that says what it is told."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from activities.models.anthropic_messages import AnthropicProvider
from activities.models.openai_compatible import CompatibleProvider
from activities.models.openai_responses import OpenAIProvider
from activities.models.provider import ModelProvider
from activities.models.schemas import FINISH_TOOL
from contracts.model import (
    AssistantMessage,
    Message,
    ModelChoice,
    ModelRequest,
    Provider,
    SystemMessage,
    ToolSchema,
    UserMessage,
)
from tests.peers.need import need_package

Part = Mapping[str, object]
KEY = "sk-test-canary-4711"
MODELS = {
    Provider.OPENAI: "gpt-5.4-mini-2026-03-17",
    Provider.ANTHROPIC: "claude-haiku-4-5-20251001",
    Provider.COMPATIBLE: "local-model",
}


def tool_named(name: str) -> ToolSchema:
    return ToolSchema(
        name=name,
        description=f"Does {name}.",
        parameters={
            "type": "object",
            "properties": {"why": {"type": "string"}},
            "required": ["why"],
            "additionalProperties": False,
        },
    )


TOOLS = (tool_named("orders.get_status"), tool_named("crm.read_ticket"), FINISH_TOOL)


def choice_of(provider: Provider, *, timeout_s: float = 20, reasoning: str = "none", tokens: int = 4096) -> ModelChoice:
    return ModelChoice.model_validate(
        {
            "name": "small",
            "provider": provider,
            "model": MODELS[provider],
            "timeout_s": timeout_s,
            "reasoning": reasoning,
            "max_output_tokens": tokens,
        }
    )


def request_of(choice: ModelChoice, text: str, *more: Message) -> ModelRequest:
    return ModelRequest(
        choice=choice, messages=(SystemMessage(text="Prompt."), UserMessage(text=text), *more), tools=TOOLS
    )


def said(*calls: tuple[str, str, str], text: str = "") -> AssistantMessage:
    return AssistantMessage.model_validate(
        {"text": text, "calls": [{"call_id": a, "tool": b, "arguments_json": c} for a, b, c in calls]}
    )


def no_heartbeat(_note: str) -> None:
    """For calls whose heartbeats are not the matter."""


@asynccontextmanager
async def client_of(provider: Provider, base_url: str) -> AsyncGenerator[ModelProvider]:
    client: ModelProvider
    match provider:
        case Provider.OPENAI:
            client = OpenAIProvider(KEY, f"{base_url}/v1")
        case Provider.ANTHROPIC:
            client = AnthropicProvider(KEY, base_url)
        case _:
            client = CompatibleProvider(KEY, f"{base_url}/v1")
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture(scope="session")
def aimock() -> Generator[str]:
    """Base URL of a running aimock that serves `aimock.json`."""
    node, package = need_package("@copilotkit/aimock")
    command = [str(node), str(package / "dist" / "cli.js"), "--port", "0", "--strict"]
    command += ["--fixtures", str(Path(__file__).with_name("aimock.json"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        heard: list[str] = []
        for line in process.stdout:
            heard.append(line)
            listening = re.search(r"listening on (http://\S+)", line)
            if listening:
                yield listening[1]
                break
        else:
            pytest.fail("aimock ended before it listened: " + "".join(heard))
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@dataclass
class Speaker:
    """An HTTP server that answers every request with the bytes it was given, and keeps what it was asked."""

    url: str
    chunks: list[bytes] = field(default_factory=list[bytes])
    """Sent one after another; the connection closes after the last."""
    hold: bool = False
    """Keep the connection open after the last chunk."""
    asked: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    """Bodies of the requests."""
    headers: list[str] = field(default_factory=list[str])
    """Heads of the requests."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client hung up while the connection was held."""

    def answer(self, status: int, body: object, **headers: str) -> None:
        """Answer with JSON."""
        data = json.dumps(body).encode()
        names = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        self.chunks = [_head(status, names), data]

    def stream(self, *events: object, request_id: str = "") -> None:
        """Answer with server-sent events, named as Anthropic names them."""
        self.chunks = [_head(200, {"content-type": "text/event-stream", "request-id": request_id})]
        for event in events:
            kind = cast("dict[str, object]", event).get("type") if isinstance(event, dict) else None
            name = f"event: {kind}\n" if isinstance(kind, str) else ""
            data = event if isinstance(event, str) else json.dumps(event)
            self.chunks.append(f"{name}data: {data}\n\n".encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.headers.append(head.lower())
        length = re.search(r"content-length: (\d+)", head.lower())
        self.asked.append(json.loads(await reader.readexactly(int(length[1]) if length else 0)))
        for chunk in self.chunks:
            writer.write(chunk)
            await writer.drain()
        if self.hold:
            await reader.read()
            self.gone.set()
        writer.close()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", "connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture
async def speaker() -> AsyncGenerator[Speaker]:
    """A server under the test's control on a free port."""
    told = Speaker("")
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield told
        server.close()


def response(output: Sequence[Part], **fields: object) -> dict[str, object]:
    """The last event of a Responses stream."""
    body = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "served-1",
        "output": output,
        **fields,
    }
    return {"type": f"response.{body['status']}", "sequence_number": 1, "response": body}


def anthropic_events(
    blocks: Sequence[tuple[Part, Sequence[Part]]], stop: Part, **usage: int
) -> list[dict[str, object]]:
    """A Messages stream: blocks with their deltas, then the stop."""
    start: dict[str, object] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served-1",
        "content": [],
    }
    start["usage"] = {"input_tokens": usage.get("input_tokens", 10), "output_tokens": 1, **usage}
    events: list[dict[str, object]] = [{"type": "message_start", "message": start}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}})
    return [*events, {"type": "message_stop"}]
