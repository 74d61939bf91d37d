"""Lines of a log: what each is about, as text and as JSON, and what can never stand in one."""

import asyncio
import json
import logging
from collections.abc import Generator
from typing import Literal

import httpx
import pytest
from fastapi import FastAPI

from settings import Settings
from settings.http_log import HEADER, HttpLog
from settings.logs import about, note, start_logging

pytestmark = pytest.mark.req("O1")
RUN = "run-" + "a" * 26
_LOG = logging.getLogger("tests")


@pytest.fixture(autouse=True)
def root_as_before() -> Generator[None]:
    """A process begins its log once; a test's process goes on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def begin_as(log_format: Literal["text", "json"]) -> None:
    logging.getLogger().handlers.clear()  # pytest's own, of this test
    start_logging(Settings(log_format=log_format), "worker")


def told_in(written: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.readouterr().err.splitlines()]


def test_a_line_names_what_it_is_about_and_forgets_it_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    begin_as("text")
    with about(tenant="acme", run=RUN):
        note(step=3)
        _LOG.warning("it %s", "waits")
    _LOG.warning("it is over")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f"WARNING tests it waits tenant=acme run={RUN} step=3")
    assert second.endswith("WARNING tests it is over")


def test_json_is_one_object_a_line_whatever_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    begin_as("json")
    try:
        int("two\nlines \u2028 \u202e")
    except ValueError:
        with about(run=RUN, step=3):
            _LOG.exception("odd \n text")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert {name: told[name] for name in ("level", "process", "logger", "message", "run", "step")} == {
        "level": "error", "process": "worker", "logger": "tests", "message": "odd \n text", "run": RUN, "step": 3,
    }  # fmt: skip
    assert told["exception"].startswith("Traceback")
    assert told["time"].endswith("+00:00")


async def test_work_side_by_side_keeps_its_names_apart(capsys: pytest.CaptureFixture[str]) -> None:
    begin_as("json")
    both_are_in = asyncio.Barrier(2)

    async def work(run: str) -> None:
        with about(run=run):
            await both_are_in.wait()
            _LOG.warning(run)

    await asyncio.gather(work("run-a"), work("run-b"))
    lines = told_in(capsys)
    assert [line["run"] for line in lines] == [line["message"] for line in lines]
    assert len(lines) == 2


def web() -> httpx.AsyncClient:
    app = FastAPI()

    @app.get("/runs/{run_id}")
    async def page(run_id: str) -> str:
        note(tenant="acme")
        _LOG.warning("seen")
        if run_id == "fault":
            raise RuntimeError("a fault")
        return "ok"

    served = HttpLog(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(served, raise_app_exceptions=False), base_url="http://web")


async def test_lines_of_a_request_and_its_answer_carry_one_number(capsys: pytest.CaptureFixture[str]) -> None:
    begin_as("json")
    async with web() as client:
        answer = await client.get(f"/runs/{RUN}?search=secret-word", headers={HEADER: "from-ingress-1"})
        other = await client.get(f"/runs/{RUN}", headers={HEADER: "not a number\x7f"})
    inside, line, *rest = told_in(capsys)
    assert answer.headers[HEADER] == inside["http"] == line["http"] == "from-ingress-1"
    assert str(line["message"]).startswith("GET /runs/{run_id}: 200 in ")
    assert (line["run"], line["tenant"], inside["message"]) == (RUN, "acme", "seen")
    assert {one["http"] for one in rest} == {other.headers[HEADER]} != {"not a number\x7f"}
    assert "secret-word" not in "".join(json.dumps(one) for one in (inside, line))


async def test_what_was_typed_into_an_address_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    begin_as("text")
    async with web() as client:
        await client.get("/runs/x%0AERROR%20forged")
        assert (await client.get("/nowhere/%0AERROR%20forged")).status_code == 404
        fault = await client.get("/runs/fault")
    lines = capsys.readouterr().err.splitlines()
    assert not [line for line in lines if "forged" in line]
    assert any("GET an unknown address: 404" in line for line in lines)
    assert any("GET /runs/{run_id}: 500" in line and f"http={fault.headers[HEADER]}" in line for line in lines)
