"""Whether an authenticator signed what it is said to have signed. Pure: nothing is looked up, nobody is asked.

The same functions judge in the form, in the gate, and for an auditor who has nothing but the evidence.
"""

import hashlib
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import ValidationError

from contracts.canonical import canonical_bytes
from contracts.passkey import Assertion, DecisionStatement, PostedAssertion, bytes_of, statement_of, text_of
from contracts.vote import Vote

__all__ = ["Signed", "challenge_of", "evidence_problem", "verify_signed"]


class Signed(NamedTuple):
    """An assertion that verifies."""

    sign_count: int
    """How often the authenticator says it has signed; 0 from those that do not count."""


def challenge_of(statement: DecisionStatement) -> bytes:
    """What the authenticator is asked to sign for a decision: SHA-256 of the statement's canonical JSON."""
    return hashlib.sha256(canonical_bytes(statement)).digest()


def verify_signed(
    posted: PostedAssertion, *, challenge: bytes, public_key: bytes, rp_id: str, origin: str, sign_count: int = 0
) -> Signed | str:
    """Whether the key signed this challenge here, with its person verified; or why that does not hold.

    `sign_count`: what the authenticator had counted before. One that counts and has not gone on is a copy, or was
    copied; 0 looks at the signature alone.
    """
    from webauthn import verify_authentication_response  # noqa: PLC0415 - slow; who sees no passkey need not wait
    from webauthn.helpers import parse_client_data_json, structs  # noqa: PLC0415 - as above

    try:
        client_data = bytes_of(posted.client_data)
        response = structs.AuthenticatorAssertionResponse(
            client_data_json=client_data,
            authenticator_data=bytes_of(posted.authenticator_data),
            signature=bytes_of(posted.signature),
        )
        if parse_client_data_json(client_data).cross_origin:
            return "it was made inside a page of another site"
        verified = verify_authentication_response(
            credential=structs.AuthenticationCredential(
                id=text_of(posted.raw_id), raw_id=posted.raw_id, response=response
            ),
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - parsers of a stranger's bytes: whatever they raise is a refusal
        return " ".join(str(error).split())[:300] or type(error).__name__
    return Signed(sign_count=verified.new_sign_count)


def evidence_problem(text: str, vote: Vote) -> str:
    """Why the kept evidence does not show that this vote's person signed it; empty when it does.

    `text` are the kept bytes. That the passkey is that person's is for who knows the passkeys.
    """
    try:
        kept = Assertion.model_validate_json(text)
    except ValidationError:
        return "the evidence is not readable"
    if f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" != vote.assertion:
        return "the evidence is not the one that the vote names"
    if statement_of(vote, kept.statement.session, kept.statement.nonce) != kept.statement:
        return "another decision was signed"
    if urlsplit(kept.origin).hostname != kept.rp_id:
        return "it was signed on another site"
    found = verify_signed(
        kept.signed,
        challenge=challenge_of(kept.statement),
        public_key=bytes_of(kept.public_key),
        rp_id=kept.rp_id,
        origin=kept.origin,
    )
    return found if isinstance(found, str) else ""
