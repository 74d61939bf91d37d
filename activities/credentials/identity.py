"""What a credential says, and the interface of whatever makes one."""

import secrets
from dataclasses import dataclass, field
from json import dumps
from typing import Protocol

from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes, digest_bytes
from contracts.tool import RefusedBeforeSend

__all__ = ["CREDENTIAL_LIFETIME_S", "CallIdentity", "Credential", "CredentialIssuer", "authorization_of", "claims_of"]

CREDENTIAL_LIFETIME_S = 120
"""How long a credential may be used; at most 300 s by decision."""
_PART_MIN_CHARS = 20
_SECRET_MIN_CHARS = 8
"""What is shorter is no secret, and would be found in honest answers."""


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

    @property
    def actor(self) -> str:
        """The agent, as services know it."""
        return f"agent:{self.tenant}/{self.agent}"


@dataclass(frozen=True)
class Credential:
    """A header of one request. Its value is in no repr."""

    value: str = field(repr=False)
    """What the header says."""
    header: str = "Authorization"
    """The header's name."""

    def absent_from(self, answer: bytes) -> bytes:
        """What a service answered, without the credential or a part of it that is long enough to be told apart."""
        secret = self.value.rpartition(" ")[2]
        parts = [secret, *(part for part in secret.split(".") if len(part) >= _PART_MIN_CHARS)]
        for part in (part for part in parts if len(part) >= _SECRET_MIN_CHARS):
            forms = (part, dumps(part)[1:-1], dumps(part, ensure_ascii=False)[1:-1])
            # The longest first: half of an escaped one would leave a text that is no JSON any more.
            for form in sorted(forms, key=len, reverse=True):
                answer = answer.replace(form.encode(), b"[credential]")
        return answer


class CredentialIssuer(Protocol):
    """Makes the credential of one request."""

    async def mint(self, identity: CallIdentity, arguments: JsonObject) -> Credential:
        """A credential for one request with exactly these arguments.

        Raises:
            RefusedBeforeSend: there is none, so nothing may be sent.
        """
        ...


def authorization_of(identity: CallIdentity, arguments: JsonObject) -> JsonObject:
    """The one call that a credential is good for (RFC 9396)."""
    return {
        "type": "tool_call",
        "tool": identity.tool,
        "arguments_sha256": digest_bytes(canonical_bytes(arguments)).removeprefix("sha256:"),
        "effect_key": identity.effect_key,
        "max_uses": 1,
    }


def claims_of(
    identity: CallIdentity, arguments: JsonObject, *, issuer: str, audience: str, now_s: int
) -> dict[str, object]:
    """The claims of a credential that is good from now.

    Raises:
        RefusedBeforeSend: it would have ended already: its call slept through its lease.
    """
    ends = min(now_s + CREDENTIAL_LIFETIME_S, identity.not_after_s or now_s + CREDENTIAL_LIFETIME_S)
    if ends <= now_s:
        raise RefusedBeforeSend(f"the time in which {identity.tool} may send is over", code="lease_lapsed")
    claims: dict[str, object] = {
        "iss": issuer,
        "sub": identity.actor,
        "aud": audience,
        "tenant": identity.tenant,
        "txn": identity.run_id,
        "jti": secrets.token_urlsafe(24),
        "iat": now_s,
        "nbf": now_s,
        "exp": ends,
        "epoch": identity.epoch,
        "scope": " ".join(identity.scopes),
        "authorization_details": [authorization_of(identity, arguments)],
    }
    if identity.on_behalf_of is not None:
        user = f"user:{identity.tenant}/{identity.on_behalf_of}"
        claims |= {"sub": user, "act": {"sub": identity.actor}}
    return claims
