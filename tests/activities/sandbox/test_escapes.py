"""An isolated tool tries every way out: each is closed, and the worker outlives all of them."""

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path

import pytest

from activities.sandbox import Boxes
from activities.sandbox.lines import Job
from contracts.base import JsonObject
from contracts.tool import Ambiguous, RefusedBeforeSend, Rejected, ServiceReply, ToolFault

pytestmark = pytest.mark.req("T11")

AGENTS = Path(__file__).with_name("agents")
CLONE = Path(__file__).resolve().parents[3]


def exists(place: str) -> bool:
    return Path(place).exists()


class Window:
    """What the gate hands in: the requests that came through."""

    def __init__(self, *answers: ServiceReply | ToolFault) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.beats = 0
        self._answers = list(answers)

    def service(self, name: str) -> "Window":
        if name != "backoffice":
            raise RefusedBeforeSend(f"no service {name}", code="undeclared_service")
        return self

    def heartbeat(self, note: str) -> None:
        self.beats += len(note) > 0

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        arguments: JsonObject | None = None,
    ) -> ServiceReply:
        self.asked.append((method, path, json or arguments or params))
        answer = self._answers.pop(0) if self._answers else ServiceReply(status=200, body={"text": "ok"})
        if isinstance(answer, ToolFault):
            raise answer
        return answer


@pytest.fixture(scope="module")
def listening() -> Generator[tuple[str, str]]:
    """A server on this machine, by TCP and by a socket file: as a database would listen."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(f"{folder}/s")
        unix.listen()
        yield f"127.0.0.1:{tcp.getsockname()[1]}", f"{folder}/s"


@pytest.fixture
async def boxes() -> AsyncGenerator[Boxes]:
    made = Boxes(AGENTS)
    yield made
    await made.close()


async def tried(boxes: Boxes, way: str, target: str = "", *, window: Window | None = None, limit_s: float = 10) -> str:
    """What the tool got, or how it ended."""
    job = Job(
        folder=str(AGENTS / "prisoner"), tool="cell.try_out", function="call", arguments={"way": way, "target": target}
    )
    async with boxes.box() as box:
        try:
            async with asyncio.timeout(limit_s):
                return str((await box.run(job, window or Window()))["got"])
        except ToolFault as fault:
            return f"fault {fault.code}: {fault}"
        except TimeoutError:
            return "timeout"


async def tried_all(boxes: Boxes, ways: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Each way, its target, and what it got; all of them in one box."""
    got = json.loads(await tried(boxes, "many", json.dumps(ways)))
    return [(way, target, str(found)) for (way, target), found in zip(ways, got, strict=True)]


async def test_the_tool_itself_works_behind_its_walls(boxes: Boxes) -> None:
    where = await tried(boxes, "cwd")
    assert where.startswith(tempfile.gettempdir())
    assert not exists(where), "its folder is gone with it"
    assert "prisoner" in await tried(boxes, "read", str(AGENTS / "prisoner" / "README.md"))


async def test_it_inherits_no_environment(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    seen = await tried(boxes, "environ")
    assert "canary" not in seen
    assert set(eval(seen)) <= {"LC_ALL", "LC_CTYPE"}  # noqa: S307 - the repr of a dict, from our own test
    assert "PermissionError" in await tried(boxes, "own environ")


async def test_it_reads_no_file_but_code(boxes: Boxes, tmp_path: Path) -> None:
    key = tmp_path / "credential.jwk"
    key.write_text("canary")
    files = [key, CLONE / "pyproject.toml", CLONE / "settings" / "tenants.yaml", "/etc/passwd", "/etc/hostname",
             f"/proc/{os.getpid()}/environ", f"/proc/{os.getpid()}/maps", "/proc/1/environ", "/sys/kernel/version",
             Path.home() / ".bashrc", "/dev/kmsg"]  # fmt: skip
    folders = ["/run", "/proc", str(CLONE), str(Path.home())]
    ways = [*(("read", str(file)) for file in files), *(("list", folder) for folder in folders)]
    for way, target, got in await tried_all(boxes, [*ways, ("link", str(key))]):
        assert got.startswith("fault"), (way, target, got[:80])


async def test_it_writes_only_into_its_own_folder(boxes: Boxes, tmp_path: Path) -> None:
    places = [
        tmp_path / "mark",
        AGENTS / "prisoner" / "mark",
        Path(tempfile.gettempdir()) / "countersign-escape-mark",
        Path(os.__file__).with_name("mark"),
    ]
    found = await tried_all(boxes, [*(("write", str(place)) for place in places), ("write", "mine")])
    assert [got for _, _, got in found] == ["fault PermissionError"] * len(places) + ["written"]
    assert [place for place in places if place.exists()] == []


async def test_it_opens_no_connection(boxes: Boxes, listening: tuple[str, str]) -> None:
    tcp, unix = listening
    ways = [
        *(("connect", place) for place in (tcp, "169.254.169.254:80", "127.0.0.1:5432", "127.0.0.1:7233", "::1:7233")),
        ("unix", unix),
        ("pair", unix),
    ]
    for way, target, got in await tried_all(boxes, ways):
        assert got == "fault PermissionError", (way, target, got)


async def test_it_starts_no_process_and_touches_none(boxes: Boxes) -> None:
    ways = [("fork", ""), ("run", "/bin/sh -c id"), ("exec", ""), ("kill", str(os.getpid())), ("kill", "-1"),
            ("kill", "0"), ("ptrace", str(os.getpid())), ("ptrace", "1"), ("read", "/etc/shadow")]  # fmt: skip
    for way, target, got in await tried_all(boxes, ways):
        assert got in {"fault PermissionError", "fault BlockingIOError"}, (way, target, got)


async def test_it_cannot_lift_its_own_limits(boxes: Boxes) -> None:
    assert (await tried(boxes, "limit")).startswith("fault")
    assert (await tried(boxes, "root")) in {"0", "fault tool_fault: PermissionError"}


async def test_it_takes_no_more_than_its_share(boxes: Boxes) -> None:
    assert "MemoryError" in await tried(boxes, "memory")
    assert (await tried(boxes, "threads")).startswith("fault")
    assert (await tried(boxes, "fill")).startswith("fault")
    assert "longer than" in await tried(boxes, "huge")
    assert await tried(boxes, "spin", limit_s=1) == "timeout"
    assert await tried(boxes, "sleep", limit_s=1) == "timeout"
    assert await tried(boxes, "cwd"), "the next call has a box of its own"


async def test_what_ends_or_floods_it_ends_the_call_alone(boxes: Boxes) -> None:
    assert "exit code 7" in await tried(boxes, "exit")
    assert "exit code -11" in await tried(boxes, "crash")
    assert "too many lines of kind beat" in await tried(boxes, "flood", limit_s=30)
    window = Window()
    assert "too many lines of kind request" in await tried(boxes, "requests", window=window)
    assert len(window.asked) <= 100
    assert "no service another" in await tried(boxes, "undeclared")
    assert await tried(boxes, "forge") in {"forged", "wrote"}, "a result of its own is all that it can forge"


async def test_it_holds_nothing_of_the_engine_in_memory(boxes: Boxes) -> None:
    modules = (await tried(boxes, "modules")).split(",")
    assert [
        name for name in modules if name.split(".")[0] in {"settings", "store", "policy", "temporalio", "httpx"}
    ] == []


def drafting(mode: str) -> Job:
    return Job(
        folder=str(AGENTS / "prisoner"), tool="cell.draft", function="call", arguments={"ticket_id": "T", "text": mode}
    )


@pytest.mark.parametrize(
    ("mode", "answer", "fault"),
    [
        ("dies before", None, RefusedBeforeSend),
        ("lies", None, Ambiguous),
        ("lies", Ambiguous("no answer", code="timeout"), Ambiguous),
        ("lies", Rejected("no", code="order_closed"), Rejected),
        ("plain", RefusedBeforeSend("unreachable", code="unreachable"), RefusedBeforeSend),
    ],
)
async def test_about_what_was_sent_the_gate_believes_itself(
    boxes: Boxes, mode: str, answer: ToolFault | None, fault: type[ToolFault]
) -> None:
    window = Window(*([answer] if answer else []))
    async with boxes.box() as box:
        with pytest.raises(fault):
            await box.run(drafting(mode), window)


async def test_boxes_are_bounded_and_leave_nothing_behind(boxes: Boxes) -> None:
    found = await asyncio.gather(*(tried(boxes, "cwd") for _ in range(10)))
    assert len(set(found)) == 10
    await boxes.close()
    assert [place for place in found if exists(place)] == []
