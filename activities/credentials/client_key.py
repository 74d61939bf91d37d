"""Our key at an authorization server, for `private_key_jwt` (RFC 7523)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from settings import SettingsError
from settings.secret_references import read_secret

__all__ = ["ClientKey"]

_ALGORITHM_OF = {"OKP": "Ed25519", "EC": "ES256", "RSA": "PS256"}
_ALGORITHMS = ("Ed25519", "ES256", "PS256", "RS256")


class ClientKey:
    """A private key in JWK form; its `alg` decides how it signs, else its kind."""

    def __init__(self, reference: str, folder: Path) -> None:
        """Read the key. Raises SettingsError: it cannot be had or used."""
        text = read_secret(reference, folder).get_secret_value()
        try:
            fields = cast("dict[str, str | list[str]]", json.loads(text))
            self._key = jwk.import_key(fields)
            self._algorithm = str(fields.get("alg") or _ALGORITHM_OF[str(fields["kty"])])
            self._kid = str(fields.get("kid") or self._key.thumbprint())
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            raise SettingsError("the client key of a service is no private key in JWK form. Replace it.") from None
        if self._key.key_type not in _ALGORITHM_OF or not self._key.is_private or self._algorithm not in _ALGORITHMS:
            raise SettingsError(f"the client key of a service cannot sign with one of {', '.join(_ALGORITHMS)}.")

    def sign(self, claims: Mapping[str, object]) -> str:
        """A compact JWT."""
        header = {"alg": self._algorithm, "kid": self._kid, "typ": "JWT"}
        return jwt.encode(header, dict(claims), self._key, algorithms=[self._algorithm])
