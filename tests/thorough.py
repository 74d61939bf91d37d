"""How much a generated test generates: a quarter by default, all of it under `make test-long`."""

import os

__all__ = ["THOROUGH", "examples"]

THOROUGH = bool(os.environ.get("TEST_EVERYTHING"))
_QUICK_PART = 4


def examples(number: int) -> int:
    """How many of a test's examples, or rounds, are made this time."""
    return number if THOROUGH else number // _QUICK_PART
