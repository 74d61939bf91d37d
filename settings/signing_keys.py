"""Ed25519 keys that a process signs with: one, or several while they rotate; read again when they change.

A private key set is a JWK, or a JWK set whose keys may say from when they sign (`nbf`) and until when their public half
is published (`exp`), in Unix seconds and under the names that OpenID Federation gives to such times.
"""

import json
import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from settings.errors import SettingsError
from settings.secret_references import read_secret, referenced_file

__all__ = ["SigningKey", "SigningKeys", "key_set_text", "new_key", "parse_keys", "public_set", "retired", "rotated"]

MAX_KEYS = 20
_LOOK_EVERY_S = 1.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SigningKey:
    """A private key and its times."""

    kid: str
    """RFC 7638 thumbprint of the public half."""
    key: OKPKey = field(repr=False)
    not_before_s: int = 0
    """Unix seconds from which it signs; it is published before."""
    expires_s: int | None = None
    """Unix seconds at which its public half is withdrawn; None: not yet."""

    def is_published(self, now_s: float) -> bool:
        """Whether somebody may still have to verify what it signed, or will sign."""
        return self.expires_s is None or now_s < self.expires_s

    @property
    def public(self) -> dict[str, str]:
        """The public half, as it is published."""
        found = self.key.as_dict(private=False)
        return {name: str(found[name]) for name in ("kty", "crv", "x")} | {"kid": self.kid, "use": "sig"}


class SigningKeys:
    """The keys at a reference. Safe to use from several threads; a change that cannot be read leaves what was there."""

    def __init__(self, reference: str, folder: Path, *, purpose: str) -> None:
        """Read the keys. `purpose` names them in messages, such as `credential`.

        Raises:
            SettingsError: they cannot be had, or are no private Ed25519 keys.
        """
        self._reference = reference
        self._folder = folder
        self._purpose = purpose
        self._file = referenced_file(reference, folder)
        self._lock = threading.Lock()
        self._withdrawn: set[str] = set()
        self._looked_s = time.monotonic()
        self._stamp = self._stamp_now()
        self._keys = self._read()

    def current(self, now_s: float) -> SigningKey:
        """The key to sign with now: of those whose time has begun, the newest. Raises SettingsError: there is none."""
        usable = [key for key in self.published(now_s) if key.not_before_s <= now_s]
        if not usable:
            raise SettingsError(f"no {self._purpose} key may sign now. Run `countersign keys rotate {self._purpose}`.")
        return usable[-1]

    def published(self, now_s: float) -> tuple[SigningKey, ...]:
        """Every key that may have to be verified with, oldest first."""
        self._look()
        return tuple(key for key in self._keys if key.is_published(now_s) and key.kid not in self._withdrawn)

    def withdraw(self, kids: Collection[str]) -> None:
        """Never use these again, whatever the reference says."""
        self._withdrawn |= set(kids)

    def refresh(self) -> None:
        """Read again, whatever the reference is. A command may take seconds: not for an event loop."""
        try:
            found = self._read()
        except SettingsError as error:
            _logger.warning("the %s keys stay as they were: %s", self._purpose, error)
            return
        with self._lock:
            self._keys = found

    def _look(self) -> None:
        """Look at a file's stamp, at most once a second."""
        if self._file is None or time.monotonic() - self._looked_s < _LOOK_EVERY_S:
            return
        with self._lock:
            self._looked_s = time.monotonic()
            stamp = self._stamp_now()
            changed = stamp is not None and stamp != self._stamp
            self._stamp = stamp
        if changed:
            self.refresh()

    def _stamp_now(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[SigningKey, ...]:
        try:
            text = read_secret(self._reference, self._folder).get_secret_value()
        except SettingsError as error:
            raise SettingsError(
                f"the {self._purpose} key: {error} `countersign up` makes one on one machine, `countersign secrets` "
                "for a team."
            ) from error
        try:
            return parse_keys(text)
        except ValueError as error:
            where = self._file or self._reference.partition(":")[0]
            raise SettingsError(f"the {self._purpose} key: {where}: {error}. Restore it from its backup.") from None


def parse_keys(text: str) -> tuple[SigningKey, ...]:
    """The keys of a private JWK or JWK set, in the order in which they begin to sign. No message shows a key.

    Raises:
        ValueError: it is neither, or a key in it is not a private Ed25519 key.
    """
    try:
        document: object = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    listed: object = fields.get("keys", [fields])
    if not isinstance(listed, list) or not 1 <= len(cast("list[object]", listed)) <= MAX_KEYS:
        raise ValueError(f"is neither a JWK nor a set of 1 to {MAX_KEYS}")
    keys = [_parsed(item) for item in cast("list[object]", listed)]
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("holds a key twice")
    return tuple(sorted(keys, key=lambda key: key.not_before_s))


def new_key(not_before_s: int = 0) -> SigningKey:
    """A fresh key. Its id does not begin with `-`: on a command line it would be taken for an option."""
    while True:
        key = OKPKey.generate_key("Ed25519")
        kid = key.thumbprint()
        if not kid.startswith("-"):
            return SigningKey(kid=kid, key=key, not_before_s=not_before_s)


def key_set_text(keys: Sequence[SigningKey]) -> str:
    """The private key set as JSON: what stands in a key file."""
    listed: list[dict[str, object]] = []
    for each in keys:
        times: dict[str, object] = {"nbf": each.not_before_s} if each.not_before_s else {}
        if each.expires_s is not None:
            times["exp"] = each.expires_s
        listed.append({**each.key.as_dict(private=True), "kid": each.kid, **times})
    return json.dumps({"keys": listed})


def public_set(keys: Sequence[SigningKey], now_s: float) -> str:
    """The public key set (JWKS) as JSON."""
    return json.dumps({"keys": [key.public for key in keys if key.is_published(now_s)]})


def rotated(
    keys: Sequence[SigningKey], fresh: SigningKey, *, now_s: int, lead_s: int, overlap_s: int
) -> tuple[SigningKey, ...]:
    """The keys after a rotation: the fresh one is published now and signs after `lead_s`, when the others stop.

    Each of the others stays published for `overlap_s` more, so that whatever it signed last is verified until its end.
    Keys whose time is over are left out.
    """
    begins_s = now_s + lead_s
    kept = [key for key in keys if key.is_published(now_s)]
    ending = [key if key.expires_s is not None else replace(key, expires_s=begins_s + overlap_s) for key in kept]
    return (*ending, replace(fresh, not_before_s=begins_s))


def retired(keys: Sequence[SigningKey], kid: str, now_s: int) -> tuple[SigningKey, ...]:
    """The keys without one of them.

    Raises:
        ValueError: there is no such key, or none of the others can sign now.
    """
    left = tuple(key for key in keys if key.kid != kid)
    if len(left) == len(keys):
        raise ValueError(f"there is no key {kid}")
    if not any(key.not_before_s <= now_s and key.is_published(now_s) for key in left):
        raise ValueError("no other key can sign now: rotate first")
    return left


def _parsed(item: object) -> SigningKey:
    if not isinstance(item, dict):
        raise ValueError("holds something that is no key")  # noqa: TRY004 - one kind of error for a caller's file
    fields = cast("dict[str, object]", item)
    times = {name: fields.get(name) for name in ("nbf", "exp")}
    if any(value is not None and not isinstance(value, int) for value in times.values()):
        raise ValueError("has a time that is no number of seconds")
    try:
        key = OKPKey.import_key({name: str(fields[name]) for name in ("kty", "crv", "x", "d")})
    except (JoseError, ValueError, TypeError, KeyError):
        raise ValueError("is not a private Ed25519 key in JWK form") from None
    if not key.is_private or key.curve_name != "Ed25519":
        raise ValueError("is not a private Ed25519 key")
    return SigningKey(
        kid=key.thumbprint(),
        key=key,
        not_before_s=cast("int | None", times["nbf"]) or 0,
        expires_s=cast("int | None", times["exp"]),
    )
