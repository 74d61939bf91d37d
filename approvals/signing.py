"""The vote key: read once, published, and used for votes alone. No other process reads it."""

import json
from pathlib import Path

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from contracts.canonical import canonical_bytes
from contracts.vote import SignedVote, Vote
from policy.votes import VOTE_ALGORITHM, VOTE_TYPE
from settings import SettingsError
from store.database import Database
from store.votes import publish_key

__all__ = ["VoteSigner"]


class VoteSigner:
    """Signs votes with one Ed25519 key."""

    def __init__(self, key: OKPKey) -> None:
        self._key = key
        self.kid: str = key.thumbprint()
        """RFC 7638 thumbprint of the public key."""
        public = key.as_dict(private=False)
        self.public_jwk: str = canonical_bytes({name: public[name] for name in ("crv", "kty", "x")}).decode()
        """Public key as canonical JSON: what runs pin and verify with."""

    @classmethod
    def load(cls, file: Path) -> "VoteSigner":
        """Read the private JWK. Raises SettingsError when there is none or it is not an Ed25519 key."""
        try:
            key = OKPKey.import_key(json.loads(file.read_bytes()))
        except OSError as error:
            raise SettingsError(
                f"the vote key {file} cannot be read ({error.strerror}). "
                "Start with `countersign up`, which creates it, or set COUNTERSIGN_VOTE_KEY_FILE."
            ) from error
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SettingsError(
                f"{file} is not a private Ed25519 key in JWK form. Restore it from its backup."
            ) from error
        if not key.is_private or key.curve_name != "Ed25519":
            raise SettingsError(f"{file} is not a private Ed25519 key. Restore it from its backup.")
        return cls(key)

    def sign(self, vote: Vote) -> SignedVote:
        """The vote as a compact JWS over its canonical JSON."""
        header = {"alg": VOTE_ALGORITHM, "kid": self.kid, "typ": VOTE_TYPE}
        return SignedVote(jws=jws.serialize_compact(header, canonical_bytes(vote), self._key, [VOTE_ALGORITHM]))

    async def publish(self, database: Database) -> None:
        """Make the public key known to runs. Raises SettingsError when it was retired."""
        async with database.everywhere() as cursor:
            is_in_use = await publish_key(cursor, kid=self.kid, public_jwk=self.public_jwk)
        if not is_in_use:
            raise SettingsError(f"vote key {self.kid} is retired. Put a new key at COUNTERSIGN_VOTE_KEY_FILE.")
