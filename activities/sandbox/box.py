"""The process of one isolated call: walls first, then the agent's code, then nothing.

Started as `python -I -B box.py ROOT AGENTS WRITABLE MEMORY CPU` with an empty environment. Its input and output are the
only way out.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

_ROOT = Path(sys.argv[1])
sys.path.insert(0, str(_ROOT))

# ruff: noqa: E402 - the clone is not on the path before
from activities.agent_tools import import_tools
from activities.sandbox.faults import failed_of, fault_of
from activities.sandbox.lines import TO_BOX, Beat, Done, Failed, Job, Ready, Request
from activities.sandbox.walls import Unsupported, put_up
from contracts.base import JsonObject
from contracts.tool import ServiceReply, Tool

_CODE = ("contracts", "activities")


class _Gate:
    """The other end of the pipes, as the tool sees it: `contracts.tool.ToolContext`."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._lock = asyncio.Lock()
        self._service = ""

    def say(self, line: Ready | Request | Beat | Done | Failed) -> None:
        self._outgoing.write(line.model_dump_json().encode() + b"\n")
        self._outgoing.flush()

    def hear(self) -> bytes:
        line = self._incoming.readline()
        if not line:
            os._exit(0)
        return line

    def service(self, name: str) -> "_Gate":
        self._service = name
        return self

    def heartbeat(self, note: str) -> None:
        self.say(Beat(note=note[:500]))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        arguments: JsonObject | None = None,
    ) -> ServiceReply:
        async with self._lock:
            asked = Request(
                service=self._service, method=method, path=path, json_body=json, arguments=arguments,
                params=dict(params) if params is not None else None,
            )  # fmt: skip
            self.say(asked)
            line = await asyncio.to_thread(self.hear)
        answer = TO_BOX.validate_json(line)
        if isinstance(answer, Failed):
            raise fault_of(answer)
        return ServiceReply(status=answer.status, body=answer.body)


async def _work(job: Job, gate: _Gate) -> JsonObject:
    tool = import_tools(Path(job.folder)).tools[job.tool]
    typed = tool.args_model.model_validate(job.arguments)
    result = await _called(tool, job, typed, gate)
    return cast("JsonObject", result.model_dump(mode="json"))


async def _called(tool: Tool, job: Job, typed: object, gate: _Gate) -> Any:  # noqa: ANN401 - the tool's own output model
    if job.function == "probe" and tool.probe is not None:
        return await tool.probe(typed, gate, job.effect_key)
    if job.function == "preview" and tool.preview is not None:
        return await tool.preview(typed, gate)
    return await tool.function(typed, gate)


def _pipes() -> _Gate:
    """The pipes, moved out of the way of `print`: what a tool prints goes nowhere."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return _Gate(incoming, outgoing)


def main() -> None:
    """Put up the walls, say so, do one job."""
    folder, writable, memory_bytes, cpu_s = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    gate = _pipes()
    loop = asyncio.new_event_loop()  # before sockets are gone: it wakes itself by a pair of them
    try:
        put_up([*(_ROOT / name for name in _CODE), folder], writable, memory_bytes=memory_bytes, cpu_s=cpu_s)
        os.chdir(writable)
    except (Unsupported, OSError, ValueError) as error:
        gate.say(Ready(missing=f"{type(error).__name__}: {error}"[:500]))
        return
    gate.say(Ready())
    try:
        output = loop.run_until_complete(_work(Job.model_validate_json(gate.hear()), gate))
        gate.say(Done(output=output))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the tool raises is told as a fault
        gate.say(failed_of(error))


main()
os._exit(0)
