"""Passkeys: for which site they are made, and what a browser is asked to do with an authenticator."""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from webauthn import generate_authentication_options, generate_registration_options, verify_registration_response
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorAttestationResponse,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from approvals.guard import allowed_origins
from contracts.base import JsonObject
from contracts.passkey import PostedPasskey
from settings import Settings
from store.accounts import Account
from store.passkey_challenges import LIFETIME
from store.passkeys import NewPasskey, Passkey

__all__ = ["NAMELESS", "PasskeyDesk", "Site", "holder_of", "new_challenge", "site_of"]

NAMELESS = (
    "You have a passkey, and this site has no name for which passkeys work. Tell the operator: COUNTERSIGN_WEB_URL "
    "must hold a name, not a number."
)
_CHALLENGE_BYTES = 32
_LIFETIME_MS = int(LIFETIME.total_seconds()) * 1_000


@dataclass(frozen=True)
class Site:
    """Where passkeys are made and used: browsers give an authenticator's answer to this site alone."""

    rp_id: str
    origin: str

    @property
    def elsewhere(self) -> str:
        """What to tell who opened the site under another address."""
        return f"Passkeys work at {self.origin}."


def site_of(settings: Settings) -> Site | None:
    """The site of the public address; None: it has no name, and browsers make passkeys for names only.

    This very machine has one: on a loopback address the site is `localhost`.
    """
    public = urlsplit(settings.web_url)
    host = (public.hostname or "").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Site(rp_id=host, origin=f"{public.scheme}://{public.netloc}".lower())
    here = f"http://localhost:{public.port or 80}"
    is_ours = here in allowed_origins(settings.web_url, settings.web_host, settings.web_port)
    return Site(rp_id="localhost", origin=here) if address.is_loopback and is_ours else None


class PasskeyDesk:
    """What the installation says of passkeys, and the words in which a browser is asked for them."""

    def __init__(self, site: Site | None, *, is_demanded: bool, web_url: str) -> None:
        """`is_demanded`: at the highest tier of everybody, not only of those who have one."""
        self.site = site
        self.is_demanded = is_demanded
        self.web_url = web_url.rstrip("/")

    @classmethod
    def of(cls, settings: Settings) -> "PasskeyDesk":
        """That of an installation."""
        is_demanded = settings.passkeys_at_tier_4 == "always"
        return cls(site_of(settings), is_demanded=is_demanded, web_url=settings.web_url)

    def new_options(self, site: Site, account: Account, known: Sequence[Passkey], challenge: bytes) -> JsonObject:
        """Make a passkey: one that asks for finger, face or PIN at each use, and is none of those that are known."""
        options = generate_registration_options(
            rp_id=site.rp_id,
            rp_name="Countersign",
            # The authenticator keeps it and shows it to nobody; it is the same for all passkeys of the account.
            user_id=hashlib.sha256(f"countersign user\n{account.tenant}/{account.username}".encode()).digest(),
            user_name=f"{account.username} ({account.tenant})",
            user_display_name=account.display_name,
            challenge=challenge,
            timeout=_LIFETIME_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_described(known),
        )
        return options_to_json_dict(options)

    def use_options(self, site: Site, passkeys: Sequence[Passkey], challenge: bytes) -> JsonObject:
        """Sign with one of these, after the authenticator has verified its person."""
        options = generate_authentication_options(
            rp_id=site.rp_id,
            challenge=challenge,
            timeout=_LIFETIME_MS,
            allow_credentials=_described(passkeys),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def read_new(self, site: Site, posted: PostedPasskey, challenge: bytes) -> NewPasskey | str:
        """The passkey that an authenticator made in answer to this challenge; or why it is none."""
        try:
            raw_id = base64url_to_bytes(posted.credential_id)
            found = verify_registration_response(
                credential=RegistrationCredential(
                    id=posted.credential_id,
                    raw_id=raw_id,
                    response=AuthenticatorAttestationResponse(
                        client_data_json=base64url_to_bytes(posted.client_data),
                        attestation_object=base64url_to_bytes(posted.attestation),
                    ),
                ),
                expected_challenge=challenge,
                expected_rp_id=site.rp_id,
                expected_origin=site.origin,
                require_user_verification=True,
            )
        except Exception as error:  # noqa: BLE001 - parsers of a stranger's bytes: whatever they raise is a refusal
            return " ".join(str(error).split())[:300] or type(error).__name__
        if raw_id != found.credential_id:
            return "it names itself otherwise than its authenticator does"
        return NewPasskey(
            credential_id=found.credential_id,
            public_key=found.credential_public_key,
            rp_id=site.rp_id,
            aaguid=found.aaguid,
            synced=found.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
            sign_count=found.sign_count,
        )


def holder_of(token: str) -> bytes:
    """Digest of a session's or a sign-in's token, to which challenges are given. It opens nothing."""
    return hashlib.sha256(b"countersign passkey\n" + token.encode()).digest()


def new_challenge() -> bytes:
    """Random bytes that no other challenge has."""
    return secrets.token_bytes(_CHALLENGE_BYTES)


def _described(passkeys: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one.credential_id) for one in passkeys]
