"""A stack whose own processes are tiny: the servers, the supervisor and the command's behaviour are the real ones.

Run as `python -m tests.workers.embedded.tiny`: `countersign up` with an HTTP server in place of worker, intake, form
and backoffice.
"""

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from settings import Settings, SettingsError
from settings.environment import child_environment
from workers.embedded.component import Component
from workers.embedded.errors import StackError
from workers.embedded.probe import HttpProbe
from workers.embedded.stack import Stack, run
from workers.embedded.state import StackState

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("COUNTERSIGN_DATABASE_URL", "").encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def tiny_processes(settings: Settings, _variables: Collection[str]) -> Sequence[Component]:
    """Two HTTP servers; the first is given the database, the second nothing."""
    return (
        _tiny("web", settings.web_port, child_environment(settings, ("database_url",)), ("postgres", "temporal")),
        _tiny("backoffice", settings.backoffice_port, child_environment(settings, ()), ()),
    )


def broken_processes(settings: Settings, _variables: Collection[str]) -> Sequence[Component]:
    """A process that cannot start."""
    working = _tiny("web", settings.web_port, {}, ("postgres",))
    return (replace(working, argv=(sys.executable, "-c", "raise SystemExit('no luck today')")),)


def _tiny(name: str, port: int, environment: dict[str, str], after: tuple[str, ...]) -> Component:
    return Component(
        name=name,
        argv=(sys.executable, "-c", SERVER, str(port)),
        environment=environment,
        folder=Path.cwd(),
        probe=HttpProbe(url=f"http://127.0.0.1:{port}/"),
        address=f"http://127.0.0.1:{port}",
        version="1",
        after=after,
    )


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the test reads


def _ready(state: StackState) -> None:
    _say(f"READY {','.join(component.name for component in state.components if component.state == 'up')}")


if __name__ == "__main__":
    chosen = broken_processes if sys.argv[1:] == ["broken"] else tiny_processes
    try:
        run(Stack(say=_say, processes=chosen), _ready)
    except (StackError, SettingsError) as error:
        sys.exit(f"error: {error}")
    _say("STOPPED")
