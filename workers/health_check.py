"""`python -m workers.health_check URL`: exit code 0 when an address answers 200, else 1. For containers."""

import sys
from http import HTTPStatus
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

__all__ = ["main"]

_LIMIT_S = 3


def main(url: str) -> int:
    """Ask once. No proxy of the environment: the question is for this container."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=_LIMIT_S) as answer:
            return 0 if answer.status == HTTPStatus.OK else 1
    except (URLError, OSError) as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
