"""The intake process under stress: overload, a store that is down, a polite end, a crash."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from temporalio.client import Client

from tests.conftest import DatabaseAddresses
from tests.workers.intake.sending import ENDPOINT, SECRET, body_of, event, headers_for
from tests.workers.intake.server import ROOT, Intake
from workers.intake.answers import Receipt, Refusal
from workers.intake.client import EventSender

Port = Callable[[], int]


def half_a_delivery(intake: Intake, body: bytes) -> socket.socket:
    """A delivery whose body stops in the middle."""
    host, port = intake.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    headers = {**headers_for(body), "host": host, "content-length": str(len(body))}
    head = f"POST /events/{ENDPOINT} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(head.encode() + b"\r\n" + body[:10])
    return connection


def until(condition: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def test_overload_is_told_to_come_back(database: DatabaseAddresses, tmp_path: Path, free_port: Port) -> None:
    with Intake(
        tmp_path, free_port(), database=database.url, owner_database=database.owner_url, intake_in_flight="1"
    ) as intake:
        body = body_of(event("slow"))
        connection = half_a_delivery(intake, body)
        until(lambda: intake.send(event("other")).status_code == 429)
        answer = intake.send(event("other"))
        assert (answer.headers["retry-after"], answer.json()["code"]) == ("1", "overloaded")
        # A polite end waits for the delivery that is under way.
        assert intake.process is not None
        intake.process.send_signal(signal.SIGTERM)
        until(lambda: "Shutting down" in intake.log.read_text())
        connection.sendall(body[10:])
        assert connection.recv(4_096).startswith(b"HTTP/1.1 202")
        connection.close()
        assert intake.process.wait(timeout=30) == 0
        assert [row["event_id"] for row in intake.rows()] == ["/helpdesk/acme#slow"]


def test_store_that_is_down_means_come_back(tmp_path: Path, free_port: Port) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    with Intake(tmp_path, free_port(), database=nowhere, owner_database=nowhere) as intake:
        answer = intake.send(event("early"))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_down")
        assert answer.headers["retry-after"] == "5"
        assert intake.post(b"{}", {"webhook-id": "x"}).status_code == 401, (
            "what is wrong with a delivery is said whatever is down"
        )
        ready = httpx.get(f"{intake.url}/readyz", timeout=30)
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert httpx.get(f"{intake.url}/healthz").status_code == 200
        assert "nobody" not in answer.text + ready.text
        intake.kill()  # a polite end would wait for the dispatcher, which waits for the store


@pytest.mark.req("E2")
async def test_killed_intake_loses_nothing_and_doubles_nothing(
    database: DatabaseAddresses, tmp_path: Path, free_port: Port, temporal_address: str, temporal_client: Client
) -> None:
    intake = Intake(
        tmp_path,
        free_port(),
        database=database.url,
        owner_database=database.owner_url,
        temporal_address=temporal_address,
        temporal_task_queue=f"killed-{os.getpid()}",
    )
    events = [event(f"killed-{os.urandom(6).hex()}") for _ in range(150)]
    promised: dict[str, str] = {}
    with intake:
        async with httpx.AsyncClient(timeout=30) as client:

            async def deliver(value: dict[str, object]) -> None:
                body = body_of(value)
                try:
                    answer = await client.post(
                        f"{intake.url}/events/{ENDPOINT}", content=body, headers=headers_for(body)
                    )
                except httpx.TransportError:
                    return
                promised[str(value["id"])] = answer.json()["run_id"]
                if len(promised) == 10:
                    intake.kill()

            await asyncio.gather(*(deliver(value) for value in events))
        assert 10 <= len(promised) < len(events)
        await asyncio.to_thread(intake.start)
        for value in events:
            receipt = (await asyncio.to_thread(intake.send, value)).json()
            assert promised.setdefault(str(value["id"]), receipt["run_id"]) == receipt["run_id"]

        # Rows that the dead process had claimed are free again after their lease; it ends here.
        with psycopg.connect(database.owner_url) as connection:
            connection.execute("update inbox set next_attempt_at = now() where state = 'received'")
        await asyncio.to_thread(until, lambda: {row["state"] for row in intake.rows()} == {"started"}, 60)
    assert len(intake.rows()) == len(events) == len(set(promised.values()))
    for run_id in promised.values():
        assert (await temporal_client.get_workflow_handle(run_id).describe()).id == run_id


def test_sender_comes_back_when_told_to(tmp_path: Path, free_port: Port) -> None:
    port = free_port()
    waits: list[float] = []
    sender = EventSender(url=f"http://127.0.0.1:{port}/events/{ENDPOINT}", secret=SECRET, attempts=3, wait=waits.append)
    answer = sender.send(event("nobody-there"))
    assert isinstance(answer, Refusal)
    assert (answer.status, answer.problem.code, waits) == (599, "unreachable", [0.5, 1.0])


def test_sender_delivers(database: DatabaseAddresses, tmp_path: Path, free_port: Port) -> None:
    with Intake(tmp_path, free_port(), database=database.url, owner_database=database.owner_url) as intake:
        sender = EventSender(url=f"{intake.url}/events/{ENDPOINT}", secret=SECRET)
        first, second = sender.send(event("sent")), sender.send(event("sent"))
        assert isinstance(first, Receipt)
        assert isinstance(second, Receipt)
        assert (first.status, second.status, first.run_id) == ("accepted", "duplicate", second.run_id)
        refused = sender.send(event("sent", data={"ticket_id": "TCK-9"}))
        assert isinstance(refused, Refusal)
        assert refused.status == 409


def test_wrong_configuration_ends_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text("endpoints:\n  one:\n    tenant: nobody\n    sources: [/x]\n    routes: []\n")
    done = subprocess.run(
        [sys.executable, "-m", "workers.intake"],
        cwd=ROOT,
        env={**os.environ, "COUNTERSIGN_ENDPOINTS_FILE": str(file)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {file}:5: endpoints.one.routes: ")
