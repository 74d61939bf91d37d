"""Boxes for isolated calls: started ahead, used once, killed at their time; requests to services go by the gate."""

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import ValidationError

from activities.sandbox.faults import failed_of, fault_of
from activities.sandbox.lines import FROM_BOX, MAX_LINE_BYTES, Answered, Beat, Done, Failed, Job, Ready, Request
from contracts.base import JsonObject
from contracts.tool import Ambiguous, RefusedBeforeSend, ToolContext, ToolFault

__all__ = ["Box", "Boxes"]

MAX_BOXES = 8
MAX_REQUESTS = 100
MAX_BEATS = 10_000
_MEMORY_BYTES = 768 * 1024 * 1024
_CPU_S = 60
_START_S = 30.0
_ROOT = Path(__file__).resolve().parent.parent.parent
_BOX = Path(__file__).with_name("box.py")
_SAFE = frozenset({"GET", "HEAD"})
_logger = logging.getLogger(__name__)


class _Ended(Exception):  # noqa: N818 - said of the box
    """The process is gone, or says what nobody understands."""


class _Sent:
    """What the gate itself knows of the writes that it sent on: a tool that says otherwise is not believed."""

    def __init__(self) -> None:
        self._maybe = False
        self._refusal: Failed | None = None

    def note(self, answer: Answered | Failed) -> None:
        """Keep what came of a write."""
        if isinstance(answer, Answered) or answer.fault == "ambiguous":
            self._maybe = True
        elif answer.fault != "refused_before_send":
            self._refusal = answer

    def fault_of(self, said: Failed) -> ToolFault:
        """The fault to report for what the tool says of itself."""
        if self._maybe or said.fault == "ambiguous":
            return Ambiguous(said.message, code=said.code or "ambiguous")
        if self._refusal is not None:
            return fault_of(self._refusal)
        if said.fault in ("tool_fault", "refused_before_send"):
            return RefusedBeforeSend(said.message, code=said.code or "tool_fault")
        return fault_of(said.model_copy(update={"settles_key": False}))


class Box:
    """One process behind its walls."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def run(self, job: Job, context: ToolContext) -> JsonObject:
        """Do the job. The tool is believed about its result, and about nothing that the gate knows better.

        Raises:
            ToolFault: as the tool or its service said; `Ambiguous` when the box ended after a write was sent on.
        """
        sent = _Sent()
        requests = beats = 0
        try:
            await self._say(job.model_dump_json())
            while True:
                line = await self._hear()
                match line:
                    case Done():
                        return line.output
                    case Failed():
                        raise sent.fault_of(line)
                    case Request() if requests < MAX_REQUESTS:
                        requests += 1
                        answer = await _asked(line, context)
                        if line.method.upper() not in _SAFE:
                            sent.note(answer)
                        await self._say(answer.model_dump_json())
                    case Beat() if beats < MAX_BEATS:
                        beats += 1
                        context.heartbeat(line.note)
                    case _:
                        raise _Ended(f"too many lines of kind {line.kind}")  # noqa: TRY301 - ends like a dead box
        except _Ended as ended:
            words = f"{job.tool} ended in its box: {ended}"
            raise sent.fault_of(Failed(fault="tool_fault", code="box_ended", message=words)) from ended

    async def ready(self) -> str:
        """Wait for the walls. What is missing, or nothing."""
        try:
            line = await asyncio.wait_for(self._hear(), _START_S)
        except (TimeoutError, _Ended) as error:
            return f"it did not start: {error}"
        return line.missing if isinstance(line, Ready) else "it said something else"

    async def end(self) -> None:
        """Kill it and remove its folder."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _say(self, text: str) -> None:
        pipe = self._process.stdin
        if pipe is None:
            raise _Ended("no pipe")
        try:
            pipe.write(text.encode() + b"\n")
            await pipe.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _Ended("it is gone") from error

    async def _hear(self) -> Ready | Request | Beat | Done | Failed:
        pipe = self._process.stdout
        if pipe is None:
            raise _Ended("no pipe")
        try:
            text = await pipe.readline()
        except ValueError as error:
            raise _Ended(f"a line is longer than {MAX_LINE_BYTES} bytes") from error
        if not text.endswith(b"\n"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 1)
            raise _Ended(f"exit code {self._process.returncode}")
        try:
            return FROM_BOX.validate_json(text)
        except ValidationError as error:
            raise _Ended("it says what is no message") from error


class Boxes:
    """Boxes of a worker. One stands ready ahead of the next call once there was one."""

    def __init__(self, agents: Path) -> None:
        self._agents = agents
        self._places = asyncio.Semaphore(MAX_BOXES)
        self._spare: asyncio.Task[Box] | None = None

    @asynccontextmanager
    async def box(self) -> AsyncGenerator[Box]:
        """A box for one call; gone afterwards.

        Raises:
            RefusedBeforeSend: none can be had here: then nothing isolated runs.
        """
        async with self._places:
            spare, self._spare = self._spare, None
            box = await (spare or asyncio.create_task(self._start()))
            if not box.alive:
                await box.end()
                box = await self._start()
            self._spare = asyncio.create_task(self._start())
            self._spare.add_done_callback(_seen)
            try:
                yield box
            finally:
                await box.end()

    async def close(self) -> None:
        """End the box that stands ready."""
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(ToolFault, OSError):
                await (await spare).end()

    async def _start(self) -> Box:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="countersign-box-"))
        arguments = (str(_ROOT), str(self._agents), str(folder), str(_MEMORY_BYTES), str(_CPU_S))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-B", str(_BOX), *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"}, cwd=os.sep, start_new_session=True, limit=MAX_LINE_BYTES,
        )  # fmt: skip
        box = Box(process, folder)
        missing = await box.ready()
        if missing:
            await box.end()
            _logger.error("isolated tools cannot run here: %s", missing)
            raise RefusedBeforeSend(f"this worker has no walls for isolated tools: {missing}", code="no_walls")
        return box


def _seen(task: asyncio.Task[Box]) -> None:
    """A spare that could not start is told to whoever needs it; nobody may ever."""
    if not task.cancelled():
        task.exception()


async def _asked(line: Request, context: ToolContext) -> Answered | Failed:
    try:
        reply = await context.service(line.service).request(
            line.method, line.path, json=line.json_body, params=line.params, arguments=line.arguments
        )
    except ToolFault as fault:
        return failed_of(fault)
    return Answered(status=reply.status, body=reply.body)
