"""`python -m approvals`: the approval form and its API."""

import signal
import sys
from types import FrameType

import uvicorn
from typing_extensions import override

from approvals.app import create_app
from approvals.live import LiveDesk
from settings import SettingsError, get_settings
from settings.logs import start_logging
from settings.serving import serving

GRACE_S = 10


class _Server(uvicorn.Server):
    """Ends the streams of open pages first: it waits for every answer that is under way."""

    def __init__(self, config: uvicorn.Config, live: LiveDesk) -> None:
        super().__init__(config)
        self._live = live

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._live.close()
        super().handle_exit(sig, frame)


def main() -> int:
    """Serve until SIGTERM or SIGINT; requests under way are finished first."""
    try:
        settings = get_settings()
        start_logging(settings, "form")
        app = create_app(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the process has nothing else to say it with
        return 2
    server = _Server(
        serving(app, host=settings.web_host, port=settings.web_port, grace_s=GRACE_S), app.state.services.live
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server raises the signal again once it has drained: that is the end we want, not a failure.
        signal.signal(number, lambda _number, _frame: None)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
