"""Processes with a collector: one trace a run, told once, without content; and none of it can hold a run up."""

import asyncio
import gzip
import secrets
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
from contracts.trace import trace_of
from settings.environment import child_environment, plain_names
from tests.approvals.conftest import form_on, office_at, sign_in
from tests.approvals.scene import Person
from tests.conftest import DatabaseAddresses
from tests.examples.server import ROOT, Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from tests.operating import soon
from tests.workers.intake.sending import ENDPOINT, body_of, event, headers_for
from tests.workers.intake.server import Intake
from workers.embedded.ports import some_free
from workflows.agent_run import AgentRun

pytestmark = [pytest.mark.req("O1"), pytest.mark.timeout(120)]

SMALL, INJECTED, ONE_LEAD = "TIC-2001", "TIC-2003", "TIC-2006"
REASON = "The carrier says so too."
SENDER = 0xABCDEF
"""Of a trace in which somebody sent an event."""
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
async def worker_that_tells(office: Installation, endpoint: str) -> AsyncGenerator[list[str]]:
    """A worker of its own process, ended politely. Afterwards the lines of its log."""
    lines: list[str] = []
    settings = office.settings.model_copy(update={"worker_port": some_free(), "otlp_endpoint": endpoint})
    names = (*plain_names(), "database_url", "credential_key_file")
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.worker", cwd=ROOT, env=child_environment(settings, names),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield lines
        worker.terminate()
        async with asyncio.timeout(END_LIMIT_S):
            _, words = await worker.communicate()
        assert worker.returncode == 0, words
        lines += words.decode().splitlines()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def test_each_run_is_one_trace_that_names_what_was_done_and_quotes_nothing(
    office: Installation, collector: Collector
) -> None:
    async with worker_that_tells(office, collector.url) as log:
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

    (ended,) = [line for line in log if f"run={done.run_id}" in line and "the run ended" in line]
    assert ended.endswith(f"completed, done activity=close_run attempt=1 run={done.run_id} tenant={TENANT}")

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


def started(intake: Intake) -> bool | None:
    """Whether the run of every event was started; None: not yet."""
    return {row["state"] for row in intake.rows()} == {"started"} or None


async def test_event_and_vote_are_told_in_the_trace_of_their_run_without_names_or_words(
    office: Installation, collector: Collector, tmp_path: Path, database: DatabaseAddresses, temporal_address: str
) -> None:
    (tmp_path / "keys" / "session.secret").write_text(secrets.token_hex(32))
    (tmp_path / "intake").mkdir()
    body = body_of(event("evt-told", data={"ticket_id": ONE_LEAD}))
    headers = headers_for(body, traceparent=f"00-{SENDER:032x}-{SENDER:016x}-01")
    intake = Intake(
        tmp_path / "intake", some_free(), database=database.url, owner_database=database.owner_url,
        temporal_address=temporal_address, temporal_task_queue=office.settings.temporal_task_queue,
        otlp_endpoint=collector.url,
    )  # fmt: skip
    form_settings = office.settings.model_copy(update={"otlp_endpoint": collector.url})
    async with worker_that_tells(office, collector.url), office_at(form_settings) as form, form.visitor() as lena:
        with intake:
            answers = [await asyncio.to_thread(intake.post, body, headers) for _ in range(2)]
            await soon(lambda: asyncio.to_thread(started, intake), "no run was started")
        run_id = str(answers[0].json()["run_id"])
        handle = office.client.get_workflow_handle_for(AgentRun.run, run_id)
        request = await office.open_request(handle)
        await sign_in(lena, Person("lena", ()), PASSWORD)
        page = f"/requests/{request.request_id}"
        decision = {"verdict": "approve", "digest": request.digest, "reason": REASON}
        answer = await lena.post(f"{page}/decision", data={**await form_on(lena, page), **decision})
        assert answer.status_code == 303, answer.text
        report = await handle.result()
    assert report.outcome is Outcome.COMPLETED

    trace = trace_of(TENANT, run_id)
    spans = [span for span in collector.spans if int.from_bytes(span.trace_id) == trace.trace_id]
    assert {int.from_bytes(span.parent_span_id) for span in spans} == {trace.span_id, 0}
    (received,) = [span for span in spans if span.name == "receive event"]  # the redelivery started nothing
    assert said(received)["countersign.endpoint"] == ENDPOINT
    assert [int.from_bytes(link.trace_id) for link in received.links] == [SENDER]
    (vote,) = [span for span in spans if span.name == "vote"]
    assert (said(vote)["countersign.verdict"], said(vote)["countersign.request"]) == ("approve", request.request_id)
    assert {"invoke_agent support_refund", "receive event", "vote"} <= {span.name for span in spans}
    everything = b"".join(collector.bodies)
    for word in (b"lena", b"Lena", REASON.encode(), ONE_LEAD.encode(), b"evt-told"):
        assert word not in everything
