"""The issuer of each service, as the settings say."""

from collections.abc import Mapping

from activities.credentials.exchange import ExchangeIssuer
from activities.credentials.identity import CallIdentity, Credential, CredentialIssuer
from activities.credentials.own import OwnIssuer
from activities.credentials.service_secret import SecretIssuer
from contracts.base import JsonObject
from contracts.tool import RefusedBeforeSend
from settings import Settings
from settings.services import OwnCredentials, ServiceEntry, ServiceSecret, TokenExchange
from settings.signing_keys import SigningKeys

__all__ = ["Issuers"]


class Issuers:
    """Gives each call to the issuer of its service."""

    def __init__(self, own: OwnIssuer, by_service: Mapping[str, CredentialIssuer]) -> None:
        self.own = own
        self._by_service = dict(by_service)

    @classmethod
    def of(cls, settings: Settings) -> "Issuers":
        """The issuers that the settings name. Raises SettingsError: a key or secret cannot be had."""
        folder = settings.state_dir
        own = OwnIssuer(SigningKeys(settings.credential_key_reference, folder, purpose="credential"))

        def made(entry: ServiceEntry) -> CredentialIssuer:
            match entry.credentials:
                case OwnCredentials():
                    return own
                case TokenExchange() as exchange:
                    return ExchangeIssuer(exchange, own, folder)
                case ServiceSecret() as secret:
                    return SecretIssuer(secret, folder)

        return cls(own, {name: made(entry) for name, entry in settings.services.items()})

    async def mint(self, identity: CallIdentity, arguments: JsonObject) -> Credential:
        """See `CredentialIssuer.mint`."""
        issuer = self._by_service.get(identity.service)
        if issuer is None:
            raise RefusedBeforeSend(
                f"no service {identity.service!r} is configured: set COUNTERSIGN_SERVICES", code="unknown_service"
            )
        return await issuer.mint(identity, arguments)

    async def close(self) -> None:
        """End all connections."""
        for issuer in self._by_service.values():
            if isinstance(issuer, ExchangeIssuer):
                await issuer.close()
