"""An authenticator and a browser in one, in software: it signs what a real one would, and lies where a test wants."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url, encode_cbor

__all__ = ["SITE", "Authenticator"]

SITE = "http://localhost:8400"
_PRESENT, _VERIFIED, _ATTESTED = 1, 4, 64


@dataclass(frozen=True)
class Authenticator:
    """One passkey. Its counter goes on with each signature."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    count: list[int] = field(default_factory=lambda: [0])
    """How often it has signed; shared with its copies."""
    counts: bool = True
    verifies: bool = True
    """Whether it asks for finger, face or PIN."""
    origin: str = SITE
    rp_id: str = "localhost"
    cross_origin: bool = False

    def copied(self) -> "Authenticator":
        """A clone, with a counter of its own."""
        return replace(self, count=[self.count[0]])

    def make(self, options: dict[str, Any]) -> str:
        """What the browser posts for `navigator.credentials.create`."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + encode_cbor(cose)
        statement: dict[str, object] = {"fmt": "none", "attStmt": {}, "authData": self._data(_ATTESTED) + attested}
        return json.dumps(
            {
                "credential_id": bytes_to_base64url(self.credential_id),
                "attestation": bytes_to_base64url(encode_cbor(statement)),
                "client_data": bytes_to_base64url(self._client_data("webauthn.create", options["challenge"])),
            }
        )

    def use(self, options: dict[str, Any]) -> str:
        """What it posts for `navigator.credentials.get`."""
        self.count[0] += 1
        data, client_data = self._data(), self._client_data("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return json.dumps(
            {
                "credential_id": bytes_to_base64url(self.credential_id),
                "authenticator_data": bytes_to_base64url(data),
                "client_data": bytes_to_base64url(client_data),
                "signature": bytes_to_base64url(signature),
            }
        )

    def _data(self, flags: int = 0) -> bytes:
        flags |= _PRESENT | (_VERIFIED if self.verifies else 0)
        count = self.count[0] if self.counts else 0
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + count.to_bytes(4, "big")

    def _client_data(self, type_: str, challenge: str) -> bytes:
        said = {"type": type_, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(said).encode()
