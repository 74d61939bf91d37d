"""Run the backoffice: ``python -m examples.backoffice``."""

import logging
import signal
import sqlite3
import sys
import warnings

import uvicorn
import yaml
from joserfc.errors import SecurityWarning
from pydantic import ValidationError

from examples.backoffice.app import create_app
from examples.backoffice.settings import Settings

EXIT_USAGE = 2
CONNECTIONS_MAX = 512
DRAIN_S = 2


def main() -> int:
    """Serve until stopped. Returns 2 when the configuration, the seed or the database file cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The issuer's tokens say "EdDSA", the name that RFC 9864 replaced; saying so on each call helps nobody.
    warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)
    try:
        configured = Settings()
        app = create_app(configured)
    except (ValidationError, yaml.YAMLError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"error: the backoffice cannot start: {error}. Check the BACKOFFICE_ settings.\n")
        return EXIT_USAGE
    # The server drains and then raises the signal again for the handler that was there before: without one of ours the
    # process would end as if killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    uvicorn.run(
        app,
        host=configured.host,
        port=configured.port,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        # A planned hang must not hold up a stop.
        timeout_graceful_shutdown=DRAIN_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
