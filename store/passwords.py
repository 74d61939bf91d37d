"""Passwords: argon2id, in threads, a few at a time, and the same work whether or not the user exists."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

__all__ = ["MAX_CHARACTERS", "MIN_CHARACTERS", "hash_password", "is_outdated", "verify_password"]

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256
# RFC 9106, second recommendation: 64 MiB, 3 passes, 4 lanes, argon2id.
_HASHER = PasswordHasher()
# Each verification takes 64 MiB: a burst of sign-ins queues instead of exhausting the machine.
_WORKERS = ThreadPoolExecutor(max_workers=3, thread_name_prefix="argon2")


def hash_password(password: str) -> str:
    """The encoded argon2id hash of a new password.

    Raises:
        ValueError: too short or too long.
    """
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise ValueError(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    return _HASHER.hash(password)


async def verify_password(encoded: str | None, password: str) -> bool:
    """Whether the password belongs to the hash. Without a hash it does the same work, and the answer is no."""
    if len(password) > MAX_CHARACTERS:
        return False
    matches = await asyncio.get_running_loop().run_in_executor(_WORKERS, _verify, encoded or _nobody(), password)
    return matches and encoded is not None


def is_outdated(encoded: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(encoded)


def _verify(encoded: str, password: str) -> bool:
    try:
        return _HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobody() -> str:
    """A hash that no password is known for."""
    return _HASHER.hash(secrets.token_urlsafe(32))
