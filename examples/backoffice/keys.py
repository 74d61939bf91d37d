"""The issuer's public keys: read from a file or an address, and read again when they change."""

import json
import logging
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TypeGuard

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, ValidationError

FETCH_TIMEOUT_S = 2.0
FETCH_INTERVAL_MIN_S = 1.0
"""An unknown key id causes a fetch; this keeps strangers from turning that into a flood."""
FETCH_AGE_MAX_S = 300.0
KEY_SET_MAX_BYTES = 64 * 1024
KEYS_MAX = 50

logger = logging.getLogger(__name__)

FileStamp = tuple[int, int, int]


class _KeySet(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    keys: tuple[dict[str, object], ...]


def _is_public_ed25519(key: dict[str, object]) -> TypeGuard[dict[str, str | list[str]]]:
    public = key.get("kty") == "OKP" and key.get("crv") == "Ed25519" and isinstance(key.get("kid"), str)
    # A private key in a public document is an accident to be noticed, not a key to be used.
    return public and "d" not in key and all(isinstance(value, str | list) for value in key.values())


def parse_key_set(raw: bytes) -> dict[str, OKPKey]:
    """Return the usable keys of a JSON Web Key Set by key id. Raises ValueError when it is not a key set."""
    if len(raw) > KEY_SET_MAX_BYTES:
        raise ValueError("The key set is larger than 64 KB.")
    try:
        listed = _KeySet.model_validate(json.loads(raw)).keys
    except ValidationError as error:
        raise ValueError("The document has no list of keys.") from error
    usable: dict[str, OKPKey] = {}
    for key in listed[:KEYS_MAX]:
        if not _is_public_ed25519(key):
            logger.warning("Skipped key %r: not a public Ed25519 key with a kid.", key.get("kid"))
            continue
        try:
            usable[str(key["kid"])] = OKPKey.import_key(key)
        except (JoseError, ValueError) as error:
            logger.warning("Skipped key %r: %s", key.get("kid"), error)
    return usable


def _fetch(url: str) -> bytes:
    # The standard library, because importing a larger client takes a third of the start of this process.
    with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - configured, http(s) only
        return bytes(answer.read(KEY_SET_MAX_BYTES + 1))


class KeyRing:
    """Finds public keys by id. Safe to use from several threads."""

    def __init__(self, source: str | None) -> None:
        """Remember where the keys are; nothing is read yet, so that the issuer may start after us."""
        self._is_url = source is not None and source.startswith(("http://", "https://"))
        self._source = source
        self._lock = threading.Lock()
        self._keys: dict[str, OKPKey] = {}
        self._stamp: FileStamp | None = None
        self._fetched_monotonic_s: float | None = None

    def find(self, kid: str) -> OKPKey | None:
        """Return the key, reading its source again when the file changed or the key is unknown."""
        with self._lock:
            self._refresh(kid)
            return self._keys.get(kid)

    def is_ready(self) -> bool:
        """Tell whether any key can be had now."""
        with self._lock:
            self._refresh(None)
            return bool(self._keys)

    def _refresh(self, kid: str | None) -> None:
        if self._source is None:
            return
        if self._is_url:
            self._refresh_from_url(self._source, kid)
        else:
            self._refresh_from_file(Path(self._source))

    def _refresh_from_file(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            self._keys = parse_key_set(path.read_bytes())
            self._stamp = stamp
        except (OSError, ValueError) as error:
            # A key set that went away withdraws its keys; the stamp stays unset, so the next call looks again.
            logger.warning("Cannot read the key set %s: %s", path, error)
            self._keys, self._stamp = {}, None

    def _refresh_from_url(self, url: str, kid: str | None) -> None:
        age_s = FETCH_AGE_MAX_S if self._fetched_monotonic_s is None else time.monotonic() - self._fetched_monotonic_s
        is_wanted = age_s >= FETCH_AGE_MAX_S or not self._keys or (kid is not None and kid not in self._keys)
        if not is_wanted or age_s < FETCH_INTERVAL_MIN_S:
            return
        self._fetched_monotonic_s = time.monotonic()
        try:
            self._keys = parse_key_set(_fetch(url))
        except (OSError, HTTPException, ValueError) as error:
            # The issuer being down for a moment must not stop calls whose keys are known: keep what we have.
            logger.warning("Cannot fetch the key set %s: %s", url, error)
