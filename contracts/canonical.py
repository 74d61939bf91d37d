"""Canonical JSON (RFC 8785) and the digests and opaque ids made from it. Same value, same bytes, in every process."""

import base64
import hashlib
from typing import Any

import rfc8785
from pydantic import BaseModel

__all__ = ["canonical_bytes", "digest", "digest_bytes", "opaque_id", "run_id_for"]

_ID_CHARACTERS = 26  # 130 bits of a SHA-256


def canonical_bytes(value: object) -> bytes:
    """The canonical JSON of a model or of plain JSON data.

    Raises:
        rfc8785.CanonicalizationError: a float that is not finite, an integer beyond 2**53 - 1, or a value outside JSON.
    """
    plain: Any = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return rfc8785.dumps(plain)


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes, as `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of a value, as `sha256:<hex>`."""
    return digest_bytes(canonical_bytes(value))


def opaque_id(prefix: str, *parts: str | int) -> str:
    """A deterministic id that tells nothing of what it was made from: `<prefix>-` and 26 characters of base32."""
    raw = hashlib.sha256(canonical_bytes(parts)).digest()
    return f"{prefix}-{base64.b32encode(raw).decode().lower()[:_ID_CHARACTERS]}"


def run_id_for(tenant: str, *parts: str) -> str:
    """The deterministic, opaque id of the run that an origin (endpoint and event id, or parent and position) starts."""
    return opaque_id("run", tenant, *parts)
