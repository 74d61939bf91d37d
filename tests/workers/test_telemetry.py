"""A worker with a collector: one trace a run, told once, without content; and none of it can hold a run up."""

import asyncio
import gzip
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from contracts.outcome import Outcome
from settings.environment import child_environment, plain_names
from tests.conftest import DatabaseAddresses
from tests.examples.server import ROOT, Server
from tests.installation import Installation, installed
from workers.embedded.ports import some_free

pytestmark = [pytest.mark.req("O1"), pytest.mark.timeout(120)]

SMALL, INJECTED = "TIC-2001", "TIC-2003"
END_LIMIT_S = 60.0


class Collector:
    """An OTLP/HTTP endpoint that keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []
        self.metrics: set[str] = set()
        self.measured = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes) -> None:
        self.bodies.append(body)
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name for scope in measured.scope_metrics for metric in scope.metrics}
            self.measured.set()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def said(span: Span) -> dict[str, object]:
    """A span's attributes."""
    return {
        entry.key: getattr(entry.value, entry.value.WhichOneof("value") or "string_value") for entry in span.attributes
    }


@pytest.fixture
def collector() -> Generator[Collector]:
    made = Collector()
    yield made
    made.stop()


@pytest.fixture
async def office(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    async with installed(tmp_path, database.url, temporal_address, backoffice, credential_key[0], worker=False) as made:
        yield made


@asynccontextmanager
async def worker_that_tells(office: Installation, endpoint: str) -> AsyncGenerator[None]:
    """A worker of its own process, ended politely."""
    settings = office.settings.model_copy(update={"worker_port": some_free(), "otlp_endpoint": endpoint})
    names = (*plain_names(), "database_url", "credential_key_file")
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.worker", cwd=ROOT, env=child_environment(settings, names),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield
        worker.terminate()
        async with asyncio.timeout(END_LIMIT_S):
            _, words = await worker.communicate()
        assert worker.returncode == 0, words
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def test_each_run_is_one_trace_that_names_what_was_done_and_quotes_nothing(
    office: Installation, collector: Collector
) -> None:
    async with worker_that_tells(office, collector.url):
        done = await (await office.start({"ticket_id": SMALL})).result()
        handed_over = await (await office.start({"ticket_id": INJECTED})).result()
        assert await asyncio.to_thread(collector.measured.wait, END_LIMIT_S)
    assert (done.outcome, handed_over.outcome) == (Outcome.COMPLETED, Outcome.ESCALATED)

    roots = {str(said(span)["gen_ai.conversation.id"]): span for span in collector.spans if not span.parent_span_id}
    assert set(roots) == {done.run_id, handed_over.run_id}
    for report in (done, handed_over):
        root = roots[report.run_id]
        within = [span for span in collector.spans if span.trace_id == root.trace_id and span is not root]
        assert {span.parent_span_id for span in within} == {root.span_id}
        assert {said(span)["gen_ai.conversation.id"] for span in within} == {report.run_id}
        assert all(root.start_time_unix_nano <= span.start_time_unix_nano for span in within)
        assert all(span.end_time_unix_nano <= root.end_time_unix_nano for span in within)
        asked = [said(span) for span in within if said(span)["gen_ai.operation.name"] == "chat"]
        assert len(asked) == report.totals.model_calls
        tokens = sum(
            int(str(turn["gen_ai.usage.input_tokens"])) + int(str(turn["gen_ai.usage.output_tokens"])) for turn in asked
        )
        assert tokens == report.totals.tokens == said(root)["countersign.tokens"]
        called = [said(span) for span in within if said(span)["gen_ai.operation.name"] == "execute_tool"]
        assert len(called) >= report.totals.tool_calls
        assert all(str(call["countersign.policy_digest"]).startswith("sha256:") for call in called)
    assert said(roots[done.run_id])["countersign.outcome"] == "completed"
    assert len(collector.spans) == len({(span.trace_id, span.span_id) for span in collector.spans})
    refund = next(span for span in collector.spans if span.name == "execute_tool payments.issue_refund")
    assert (said(refund)["countersign.status"], said(refund)["countersign.effect"]) == ("ran", "succeeded")
    denied = [span for span in collector.spans if said(span).get("countersign.status") == "denied"]
    assert denied
    assert all(span.status.code != Status.STATUS_CODE_ERROR for span in denied)

    # Words of tickets, of models and of arguments are nowhere, in spans or metrics.
    everything = b"".join(collector.bodies)
    for word in (b"TIC-2001", b"ORD-1001", b"ORD-1005", b"finance", b"refund_id"):
        assert word not in everything
    assert all(name.startswith("temporal_") for name in collector.metrics)


@pytest.mark.long
async def test_a_collector_that_is_gone_holds_nothing_up(office: Installation) -> None:
    async with worker_that_tells(office, f"http://127.0.0.1:{some_free()}"):
        report = await (await office.start({"ticket_id": SMALL})).result()
    assert report.outcome is Outcome.COMPLETED
