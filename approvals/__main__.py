"""`python -m approvals`: the approval form and its API."""

import logging
import signal
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from approvals.app import create_app
from settings import SettingsError, get_settings

GRACE_S = 10


class _Server(uvicorn.Server):
    """Ends the streams of open pages first: it waits for every answer that is under way."""

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.services.live.close()
        super().handle_exit(sig, frame)


def main() -> int:
    """Serve until SIGTERM or SIGINT; requests under way are finished first."""
    try:
        settings = get_settings()
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        app = create_app(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the process has nothing else to say it with
        return 2
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.web_host,
            port=settings.web_port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=32 * 1024,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server raises the signal again once it has drained: that is the end we want, not a failure.
        signal.signal(number, lambda _number, _frame: None)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
