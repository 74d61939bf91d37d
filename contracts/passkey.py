"""Passkeys: what an approver's own authenticator signs, and what is kept of it so that anybody can verify it later."""

import base64
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.base import Digest, Record, TenantId
from contracts.vote import Verdict, Vote

__all__ = [
    "Assertion",
    "Base64Url",
    "DecisionStatement",
    "PostedAssertion",
    "PostedPasskey",
    "bytes_of",
    "statement_of",
    "text_of",
]

Base64Url = Annotated[str, StringConstraints(pattern=r"^(?:[A-Za-z0-9_-]{4}){0,2000}[A-Za-z0-9_-]{2,4}$")]
"""Bytes in base64url without padding."""


def bytes_of(text: Base64Url) -> bytes:
    """What it stands for."""
    return base64.urlsafe_b64decode(f"{text}===")  # more padding than needed is ignored


def text_of(data: bytes) -> Base64Url:
    """How bytes are written."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class PostedAssertion(Record):
    """What a browser hands over after it has asked an authenticator: the answer of `navigator.credentials.get`."""

    credential_id: Base64Url
    authenticator_data: Base64Url
    client_data: Base64Url
    """`clientDataJSON`: challenge and origin, as the browser saw them."""
    signature: Base64Url
    """Over authenticator data and the digest of the client data."""

    @property
    def raw_id(self) -> bytes:
        """The credential's id, as its authenticator knows it."""
        return bytes_of(self.credential_id)


class PostedPasskey(Record):
    """The same of `navigator.credentials.create`: a new passkey."""

    credential_id: Base64Url
    attestation: Base64Url
    client_data: Base64Url


class DecisionStatement(Record):
    """What one person decides, in full: the challenge that they sign is a digest of this."""

    label: Literal["countersign decision 1"] = "countersign decision 1"
    """Domain of the digest: nothing else that an authenticator ever signs for us passes for a decision."""
    tenant: TenantId
    request_id: str = Field(pattern=r"^apr-[a-z2-7]{26}$")
    digest: Digest
    """Digest of what is decided."""
    seen: Digest | None
    """Digest of the page, byte for byte, on which it is decided."""
    verdict: Verdict
    reason: str = Field(max_length=2_000)
    edited: Digest | None
    """Of an edit: digest of the canonical arguments."""
    delegation_id: str = Field(max_length=40)
    """Delegation under which it is decided for somebody else; empty: for oneself."""
    account: str = Field(max_length=200)
    person: str = Field(max_length=200)
    session: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of the session; it opens nothing."""
    nonce: Base64Url
    """32 random bytes: no two challenges are alike."""


class Assertion(Record):
    """The evidence that is kept with a vote. Its digest stands in the signed vote."""

    statement: DecisionStatement
    passkey_id: str = Field(pattern=r"^psk-[a-z2-7]{26}$")
    public_key: Base64Url
    """COSE key of the passkey, as it was registered."""
    rp_id: str = Field(max_length=253)
    """Name of the site for which the passkey was made."""
    origin: str = Field(max_length=300)
    """Address of the site on which it was used."""
    signed: PostedAssertion
    """The authenticator's own bytes."""


def statement_of(vote: Vote, session: str, nonce: str) -> DecisionStatement:
    """What the person of this vote has to sign, in this session."""
    return DecisionStatement(
        tenant=vote.tenant,
        request_id=vote.request_id,
        digest=vote.digest,
        seen=vote.seen,
        verdict=vote.verdict,
        # A form sends CRLF where the script that asked for the challenge read LF.
        reason=vote.reason.replace("\r\n", "\n"),
        edited=vote.edited,
        delegation_id=vote.delegated.delegation_id if vote.delegated else "",
        account=vote.subject,
        person=vote.person,
        session=session,
        nonce=nonce,
    )
