"""A secret that a service knows us by, for systems that verify no credential of a call."""

import asyncio
import time
from pathlib import Path

from pydantic import SecretStr

from activities.credentials.identity import CallIdentity, Credential
from contracts.base import JsonObject
from contracts.tool import RefusedBeforeSend
from settings import SettingsError
from settings.secret_references import read_secret
from settings.services import ServiceSecret

__all__ = ["SecretIssuer"]

_KEPT_S = 60
"""How long a secret is used before it is read again: a replaced one is in use within a minute, without a restart."""


class SecretIssuer:
    """Puts the secret into its header."""

    def __init__(self, config: ServiceSecret, folder: Path) -> None:
        """Read the secret once. Raises SettingsError: it cannot be had."""
        self._config = config
        self._folder = folder
        self._secret: SecretStr = read_secret(config.secret, folder)
        self._read_at_s = time.monotonic()

    async def mint(self, identity: CallIdentity, arguments: JsonObject) -> Credential:
        """See `CredentialIssuer.mint`."""
        del arguments
        if time.monotonic() - self._read_at_s > _KEPT_S:
            try:
                # In a thread: the reference may be a command that takes seconds.
                self._secret = await asyncio.to_thread(read_secret, self._config.secret, self._folder)
            except SettingsError as error:
                raise RefusedBeforeSend(f"the secret of {identity.service}: {error}", code="no_secret") from None
            self._read_at_s = time.monotonic()
        words = (self._config.prefix, self._secret.get_secret_value())
        return Credential(" ".join(word for word in words if word), header=self._config.header)
