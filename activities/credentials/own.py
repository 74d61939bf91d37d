"""Our own issuer: an Ed25519 JWT for one call, signed with the worker's key; and the statement of what is revoked."""

import hashlib
import time
from collections.abc import Mapping

from joserfc import jwt

from activities.credentials.identity import CallIdentity, Credential, claims_of
from contracts.base import JsonObject
from contracts.tool import RefusedBeforeSend
from settings import SettingsError
from settings.signing_keys import SigningKeys

__all__ = ["EPOCHS_TYPE", "ISSUER", "OwnIssuer", "epoch_name"]

ISSUER = "countersign"
EPOCHS_TYPE = "countersign-epochs+jwt"
"""`typ` of the statement of revoked epochs (RFC 8725, 3.11): it passes for no credential, nor one for it."""
_EPOCHS_LIFETIME_S = 60
_ALGORITHM = "Ed25519"


class OwnIssuer:
    """Mints credentials with the worker's private keys."""

    def __init__(self, keys: SigningKeys) -> None:
        self.keys = keys

    async def mint(self, identity: CallIdentity, arguments: JsonObject) -> Credential:
        """See `CredentialIssuer.mint`."""
        claims = claims_of(identity, arguments, issuer=ISSUER, audience=identity.service, now_s=int(time.time()))
        return Credential(f"Bearer {self.sign(claims, typ='JWT')}")

    def sign(self, claims: Mapping[str, object], *, typ: str) -> str:
        """A compact JWT. Raises RefusedBeforeSend: no key may sign now."""
        try:
            key = self.keys.current(time.time())
        except SettingsError as error:
            raise RefusedBeforeSend(str(error), code="no_signing_key") from error
        header = {"alg": _ALGORITHM, "kid": key.kid, "typ": typ}
        return jwt.encode(header, dict(claims), key.key, algorithms=[_ALGORITHM])

    def sign_epochs(self, epochs: Mapping[tuple[str, str, str], int]) -> str:
        """The epochs by (tenant, scope, target), as a statement for services. Names are hashed: see `epoch_name`."""
        now_s = int(time.time())
        named = {epoch_name(scope, tenant, target): epoch for (tenant, scope, target), epoch in epochs.items()}
        claims = {"iss": ISSUER, "iat": now_s, "exp": now_s + _EPOCHS_LIFETIME_S, "epochs": named}
        return self.sign(claims, typ=EPOCHS_TYPE)


def epoch_name(scope: str, tenant: str, target: str) -> str:
    """How a scope stands in the statement: a service finds the scopes of its own calls, and learns of no others."""
    return hashlib.sha256(f"{scope}\n{tenant}\n{target}".encode()).hexdigest()
