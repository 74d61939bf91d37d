"""An issuer for tests: it mints the tokens that the backoffice accepts, and any wrong one that a test asks for."""

import hashlib
import json
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import rfc8785
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey, OKPKey, RSAKey


def digest(arguments: dict[str, Any]) -> str:
    """Return the hex SHA-256 of the canonical arguments."""
    return hashlib.sha256(rfc8785.dumps(arguments)).hexdigest()


def claims_of(arguments: dict[str, Any], scope: str, effect_key: str | None, tenant: str) -> dict[str, Any]:
    """Return the claims of a good token, valid from now for a minute."""
    now = int(time.time())
    return {
        "iss": "countersign",
        "sub": f"agent:{tenant}/support_refund",
        "aud": "backoffice",
        "tenant": tenant,
        "txn": "run-1",
        "jti": uuid.uuid4().hex,
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "epoch": 0,
        "scope": scope,
        "authorization_details": [
            {
                "type": "tool_call",
                "tool": "test.call",
                "arguments_sha256": digest(arguments),
                "effect_key": effect_key,
                "max_uses": 1,
            }
        ],
    }


class Issuer:
    """Holds a private key, and publishes the public one as a key set file."""

    def __init__(self, jwks_file: Path) -> None:
        self.jwks_file = jwks_file
        self.key = OKPKey.generate_key("Ed25519", {"kid": uuid.uuid4().hex})
        self.publish()

    @property
    def kid(self) -> str:
        """Id of the current key."""
        return str(self.key.kid)

    def rotate(self, *, publish: bool = True) -> None:
        """Take a new key; the old one is no longer published."""
        self.key = OKPKey.generate_key("Ed25519", {"kid": uuid.uuid4().hex})
        if publish:
            self.publish()

    def key_set(self) -> str:
        """Return the public key set as JSON."""
        return json.dumps({"keys": [self.key.as_dict(private=False)]})

    def publish(self) -> None:
        """Replace the key set file in one step."""
        draft = self.jwks_file.with_suffix(".new")
        draft.write_text(self.key_set(), encoding="utf-8")
        draft.replace(self.jwks_file)

    def sign(
        self,
        claims: dict[str, Any],
        *,
        header: dict[str, Any] | None = None,
        key: OKPKey | OctKey | RSAKey | None = None,
    ) -> str:
        """Sign the claims as they are. The header's fields replace the proper ones."""
        full_header = {"alg": "EdDSA", "typ": "JWT", "kid": self.kid, **(header or {})}
        with warnings.catch_warnings():
            # RFC 9864 renamed EdDSA; both names are served, and the old one is what most issuers still write.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(full_header, claims, key or self.key, algorithms=[str(full_header["alg"])])

    def mint(
        self,
        arguments: dict[str, Any],
        scope: str,
        effect_key: str | None = None,
        *,
        tenant: str = "acme",
        claims: dict[str, Any] | None = None,
    ) -> str:
        """Return a good token for one call; the given claims replace its own, None removes one."""
        merged = claims_of(arguments, scope, effect_key, tenant) | (claims or {})
        return self.sign({name: value for name, value in merged.items() if value is not None})
