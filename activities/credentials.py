"""Credentials of tool calls: an Ed25519 JWT for one call, minted in the gate, never in a history or a log."""

import json
import secrets
import time
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import OKPKey

from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes, digest_bytes
from contracts.tool import RefusedBeforeSend

__all__ = ["CREDENTIAL_LIFETIME_S", "CallIdentity", "CredentialIssuer"]

CREDENTIAL_LIFETIME_S = 120
"""How long a credential may be used; at most 300 s by decision."""
_ALGORITHM = "Ed25519"


class CallIdentity(Record):
    """Who calls what, as the credential says it."""

    tenant: str
    run_id: str
    agent: str
    on_behalf_of: str | None
    tool: str
    service: str
    scopes: tuple[str, ...]
    effect_key: str | None
    """`<run>/<step>/<call>` of a write; None for reads."""
    not_after_s: int | None = None
    """When it must end at the latest (Unix seconds); None: after its usual lifetime."""
    epoch: int = 0
    """Revocation epoch: a resource refuses lower ones than it was told."""


class CredentialIssuer:
    """Mints credentials with the worker's private key."""

    def __init__(self, key_file: Path) -> None:
        """Read the private key.

        Raises:
            OSError, ValueError: the file is missing or holds no private Ed25519 key.
        """
        self._key = OKPKey.import_key(json.loads(key_file.read_text(encoding="utf-8")))
        if not self._key.is_private:
            raise ValueError(f"{key_file} holds no private key: create one with `countersign up`")
        self._kid = self._key.thumbprint()

    def mint(self, identity: CallIdentity, arguments: JsonObject) -> str:
        """A credential for one request with exactly these arguments.

        Raises:
            RefusedBeforeSend: it would have ended already: its call slept through its lease.
        """
        now = int(time.time())
        ends = min(now + CREDENTIAL_LIFETIME_S, identity.not_after_s or now + CREDENTIAL_LIFETIME_S)
        if ends <= now:
            raise RefusedBeforeSend(f"the time in which {identity.tool} may send is over", code="lease_lapsed")
        agent = f"agent:{identity.tenant}/{identity.agent}"
        claims: dict[str, object] = {
            "iss": "countersign",
            "sub": agent,
            "aud": identity.service,
            "tenant": identity.tenant,
            "txn": identity.run_id,
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "nbf": now,
            "exp": ends,
            "epoch": identity.epoch,
            "scope": " ".join(identity.scopes),
            "authorization_details": [
                {
                    "type": "tool_call",
                    "tool": identity.tool,
                    "arguments_sha256": digest_bytes(canonical_bytes(arguments)).removeprefix("sha256:"),
                    "effect_key": identity.effect_key,
                    "max_uses": 1,
                }
            ],
        }
        if identity.on_behalf_of is not None:
            claims |= {"sub": f"user:{identity.tenant}/{identity.on_behalf_of}", "act": {"sub": agent}}
        header = {"alg": _ALGORITHM, "kid": self._kid, "typ": "JWT"}
        return jwt.encode(header, claims, self._key, algorithms=[_ALGORITHM])
