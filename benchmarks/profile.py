"""py-spy beside a process, while a block runs."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["profiled"]

_RATE_HZ = "200"
_DAY_S = "86400"


@asynccontextmanager
async def profiled(pid: int, file: Path) -> AsyncGenerator[None]:
    """Sample the stacks that hold the interpreter into a file of folded stacks (`speedscope` and flame graphs read it).

    Raises:
        FileNotFoundError: py-spy is not installed.
    """
    program = Path(sys.executable).parent / "py-spy"
    if not program.is_file():
        raise FileNotFoundError("py-spy is missing. Install it beside this Python: pip install py-spy.")
    arguments = ("record", "--pid", str(pid), "--output", str(file), "--format", "raw", "--rate", _RATE_HZ)
    options = ("--gil", "--function", "--nonblocking", "--duration", _DAY_S)
    process = await asyncio.create_subprocess_exec(program, *arguments, *options, stdout=DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)  # it writes the file then
        await process.wait()
