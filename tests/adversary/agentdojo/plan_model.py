"""A model server that follows a plan: it speaks OpenAI's chat completions and answers with the plan's next call."""

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from contracts.base import JsonObject

__all__ = ["PlanServer", "plan_server"]

_CHUNK: JsonObject = {"id": "plan", "object": "chat.completion.chunk", "created": 0, "model": "plan"}
_FINISH: JsonObject = {"result": "done", "summary": "The plan is done.", "needed": ""}
_MAX_BODY_BYTES = 10_000_000


class PlanServer(ThreadingHTTPServer):
    """Holds the plan of the run that goes on."""

    plan: Sequence[tuple[str, JsonObject]] = ()
    """Our tool names with arguments, in order."""

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer with the call that follows as many as were proposed so far."""
        assert isinstance(self.server, PlanServer)
        body = json.loads(self.rfile.read(min(int(self.headers["content-length"]), _MAX_BODY_BYTES)))
        position = sum(message["role"] == "assistant" for message in body["messages"])
        name, arguments = (self.server.plan[position : position + 1] or (("finish", _FINISH),))[0]
        if name != "finish":
            arguments = {**arguments, "why": "It is the next step of the plan."}
        call = {
            "index": 0,
            "id": f"call-{position}",
            "type": "function",
            "function": {"name": name.replace(".", "-"), "arguments": json.dumps(arguments)},
        }
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        chunks: tuple[dict[str, object], ...] = (
            {"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": usage},
        )
        told = "".join(f"data: {json.dumps({**_CHUNK, **chunk})}\n\n" for chunk in chunks)
        answer = f"{told}data: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@contextmanager
def plan_server() -> Generator[PlanServer]:
    """A server on a free port of this machine, until the end of the block."""
    with PlanServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
