"""The vote keys: read by this process alone, published, and used for votes and operator commands alone."""

import time
from collections.abc import Collection
from pathlib import Path

from joserfc import jws
from joserfc.jwk import OKPKey

from contracts.base import Record
from contracts.canonical import canonical_bytes
from contracts.command import Command, SignedCommand
from contracts.vote import SignedVote, Vote
from policy.commands import COMMAND_TYPE
from policy.signed import SIGNATURE_ALGORITHM
from policy.votes import VOTE_TYPE
from settings import Settings, SettingsError
from settings.signing_keys import SigningKey, SigningKeys
from store.database import Database
from store.vote_keys import publish_key

__all__ = ["VoteSigner"]


class VoteSigner:
    """Signs votes and commands with an Ed25519 key that the run knows: the newest that it pinned at its start."""

    def __init__(self, keys: SigningKeys | OKPKey) -> None:
        self._keys = keys if isinstance(keys, SigningKeys) else None
        self._only = () if isinstance(keys, SigningKeys) else (SigningKey(kid=keys.thumbprint(), key=keys),)

    @classmethod
    def of(cls, settings: Settings) -> "VoteSigner":
        """The signer of an installation. Raises SettingsError when there is no key, or it is not an Ed25519 key."""
        return cls(SigningKeys(settings.vote_key_reference, settings.state_dir, purpose="vote"))

    @classmethod
    def load(cls, file: Path) -> "VoteSigner":
        """Read private keys from a file. Raises SettingsError when there is none or it is not an Ed25519 key."""
        return cls(SigningKeys(f"file:{file}", file.parent, purpose="vote"))

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the newest public key."""
        return self._published()[-1].kid

    @property
    def public_jwk(self) -> str:
        """Newest public key as canonical JSON: what runs pin and verify with."""
        return _public_jwk(self._published()[-1])

    @property
    def public_keys(self) -> dict[str, str]:
        """Every public key of ours as canonical JSON, by key id."""
        return {key.kid: _public_jwk(key) for key in self._published()}

    def sign(self, vote: Vote, pinned: Collection[str] = ()) -> SignedVote:
        """The vote as a compact JWS over its canonical JSON.

        `pinned` are the key ids that the run verifies with; empty: the newest key signs.

        Raises:
            LookupError: none of our keys is among them.
        """
        return SignedVote(jws=self._signed(vote, VOTE_TYPE, pinned))

    def sign_command(self, command: Command, pinned: Collection[str] = ()) -> SignedCommand:
        """The command as a compact JWS of another type than a vote's. `pinned` and errors: as for `sign`."""
        return SignedCommand(jws=self._signed(command, COMMAND_TYPE, pinned))

    async def publish(self, database: Database) -> None:
        """Make the public keys known to runs that start from now on. Raises SettingsError when all were retired."""
        if self._keys is not None:
            self._keys.refresh()
        published = self._published()
        async with database.everywhere() as cursor:
            retired = [
                key.kid for key in published
                if not await publish_key(cursor, kid=key.kid, public_jwk=_public_jwk(key))
            ]  # fmt: skip
        if len(retired) == len(published):
            raise SettingsError(f"vote key {', '.join(retired)} is retired. Run `countersign keys rotate vote`.")
        if self._keys is not None:
            self._keys.withdraw(retired)

    def _signed(self, statement: Record, type_: str, pinned: Collection[str]) -> str:
        keys = [key for key in self._published() if not pinned or key.kid in pinned]
        if not keys:
            raise LookupError("the run knows none of the keys of this approvals service")
        header = {"alg": SIGNATURE_ALGORITHM, "kid": keys[-1].kid, "typ": type_}
        return jws.serialize_compact(header, canonical_bytes(statement), keys[-1].key, [SIGNATURE_ALGORITHM])

    def _published(self) -> tuple[SigningKey, ...]:
        return self._only if self._keys is None else self._keys.published(time.time())


def _public_jwk(key: SigningKey) -> str:
    return canonical_bytes({name: key.public[name] for name in ("crv", "kty", "x")}).decode()
