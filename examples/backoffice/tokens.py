"""Full verification of a call's token: who asks, for which tenant, to do exactly what."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from joserfc import jws
from joserfc.errors import (
    BadSignatureError,
    InvalidKeyIdError,
    JoseError,
    MissingAlgorithmError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import GuestProtocol, OKPKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from examples.backoffice.errors import ApiError, unauthorized
from examples.backoffice.keys import KeyRing
from examples.backoffice.settings import CLOCK_LEEWAY_S, TOKEN_MAX_LIFETIME_S
from examples.backoffice.wire_arguments import EffectKey, Identifier

# One algorithm under its two registered names: RFC 9864 renamed "EdDSA" with an Ed25519 key to "Ed25519".
ALGORITHMS = ("EdDSA", "Ed25519")
TOKEN_MAX_CHARS = 8 * 1024

Principal = Annotated[str, StringConstraints(pattern=r"^(agent|user):[!-~]{1,200}$")]
UnixTime = Annotated[int, Field(ge=0, le=2**40)]


_claims_object: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])


class _Claim(BaseModel):
    # Unknown claims are ignored, as RFC 7519 asks of every recipient; known ones are checked without coercion.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, use_attribute_docstrings=True)


class Actor(_Claim):
    """Who acts on behalf of the subject (RFC 8693)."""

    sub: Principal
    """The agent."""


class AuthorizationDetail(_Claim):
    """The one call that the token is good for (RFC 9396)."""

    type: Literal["tool_call"]
    """Kind of authorization."""
    tool: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The caller's name for what it does; for the books."""
    arguments_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the canonical arguments of the request."""
    effect_key: EffectKey | None
    """Idempotency key of a write; null for a read."""
    max_uses: Literal[1]
    """How often the token may cause an effect."""


class Token(_Claim):
    """The claims of a verified token."""

    sub: Principal
    """Agent, or the user that it acts for."""
    act: Actor | None = None
    """Agent, when the subject is a user."""
    tenant: Identifier
    """The only source of the tenant."""
    txn: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
    """The caller's run."""
    jti: Annotated[str, StringConstraints(pattern=r"^[!-~]{8,128}$")]
    """Unique id; spent by the first write."""
    iat: UnixTime
    """Issued at, Unix seconds."""
    nbf: UnixTime
    """Not valid before, Unix seconds."""
    exp: UnixTime
    """Expires at, Unix seconds."""
    epoch: Annotated[int, Field(ge=0, le=2**53)]
    """Revocation epoch that it was issued in."""
    scope: Annotated[str, StringConstraints(max_length=500)]
    """Space-separated scopes."""
    authorization_details: Annotated[tuple[AuthorizationDetail, ...], Field(strict=False, min_length=1, max_length=1)]
    """Exactly one call."""

    @property
    def call(self) -> AuthorizationDetail:
        """The one call that the token is good for."""
        return self.authorization_details[0]

    @property
    def agent(self) -> str:
        """The principal that acts, whoever it acts for."""
        return self.sub if self.act is None else self.act.sub


def bearer(header: str | None) -> str:
    """Return the token of an ``Authorization`` header. Raises ApiError 401."""
    match = re.fullmatch(r"[Bb]earer ([A-Za-z0-9._~+/=-]+)", header or "")
    if match is None:
        raise unauthorized("token_missing", "Send the call's token as 'Authorization: Bearer <token>'.")
    if len(match[1]) > TOKEN_MAX_CHARS:
        raise unauthorized("token_malformed", f"The token is longer than {TOKEN_MAX_CHARS} characters.")
    return match[1]


def verify(token: str, keys: KeyRing, *, issuer: str, audience: str, now_unix_s: float, typ: str = "JWT") -> Token:
    """Check signature, algorithm, type, issuer, audience, times and shape. Raises ApiError 401 that names the check."""
    signed = open_signed(token, keys)
    if signed.headers().get("typ") != typ:
        raise unauthorized("token_type_invalid", f"The token's typ must be '{typ}'.")
    claims = claims_of(signed)
    if claims.get("iss") != issuer:
        raise unauthorized("token_issuer_invalid", f"The token's issuer must be '{issuer}'.")
    # A list of several audiences would let another service replay the token here: exactly one, and it is us.
    if claims.get("aud") not in (audience, [audience]):
        raise unauthorized("token_audience_invalid", f"The token's audience must be '{audience}' alone.")
    try:
        verified = Token.model_validate(claims)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise unauthorized("token_claims_invalid", f"Claim {where}: {first['msg']}.") from None
    _check_times(verified, now_unix_s)
    _check_principals(verified)
    return verified


def check_not_expired(token: Token, now_unix_s: float) -> None:
    """Refuse a token whose time is over. Called again inside the transaction: a slow request must not outlive it."""
    if now_unix_s > token.exp + CLOCK_LEEWAY_S:
        raise unauthorized("token_expired", "The token has expired; have a new one issued.")


def check_scope(token: Token, scope: str) -> None:
    """Refuse a token that was not issued for this kind of call."""
    if scope not in token.scope.split(" "):
        raise ApiError(403, "scope_missing", f"This call needs the scope '{scope}'.")


def check_arguments(token: Token, arguments_sha256: str) -> None:
    """Refuse a request that is not the one which was authorised."""
    if token.call.arguments_sha256 != arguments_sha256:
        raise ApiError(403, "arguments_mismatch", "The arguments are not those that the token was issued for.")


def check_is_read(token: Token) -> None:
    """Refuse a token that was issued for a write."""
    if token.call.effect_key is not None:
        raise ApiError(403, "not_a_read", "The token was issued for a write; it reads nothing.")


def check_tool(token: Token, operation: str, tools: Mapping[str, Collection[str]]) -> None:
    """Refuse a tool that may not use this endpoint, where the configuration says which may."""
    if operation in tools and token.call.tool not in tools[operation]:
        raise ApiError(403, "tool_not_allowed", "The token was issued for a tool that may not use this endpoint.")


def check_effect_key(token: Token, idempotency_key: str) -> None:
    """Refuse a write under another key than the one which was authorised."""
    if token.call.effect_key != idempotency_key:
        raise ApiError(403, "effect_key_mismatch", "The Idempotency-Key is not the token's effect_key.")


def open_signed(token: str, keys: KeyRing) -> jws.CompactSignature:
    """Verify the signature of a JWT with the issuer's keys. Raises ApiError 401, or 503 without any key."""

    def find_key(guest: GuestProtocol) -> OKPKey:
        kid: object = guest.headers().get("kid")
        key = keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise InvalidKeyIdError
        return key

    try:
        return jws.deserialize_compact(token, find_key, algorithms=ALGORITHMS)
    except (UnsupportedAlgorithmError, MissingAlgorithmError):
        raise unauthorized("token_algorithm_invalid", "The token must be signed with EdDSA (Ed25519).") from None
    except InvalidKeyIdError:
        if not keys.is_ready():
            raise ApiError(503, "unavailable", "The issuer's key set cannot be read; try again.") from None
        raise unauthorized("token_key_unknown", "The token's kid is not in the issuer's key set.") from None
    except BadSignatureError:
        raise unauthorized("token_signature_invalid", "The token's signature does not verify.") from None
    except (JoseError, ValueError, TypeError, RecursionError):
        raise unauthorized("token_malformed", "The token is not a compact JWT.") from None


def claims_of(signed: jws.CompactSignature) -> dict[str, object]:
    """Return the payload of a verified JWT. Raises ApiError 401."""
    try:
        return _claims_object.validate_json(signed.payload or b"")
    except ValidationError:
        raise unauthorized("token_malformed", "The token's payload is not a JSON object.") from None


def _check_times(token: Token, now_unix_s: float) -> None:
    check_not_expired(token, now_unix_s)
    if max(token.nbf, token.iat) > now_unix_s + CLOCK_LEEWAY_S:
        raise unauthorized("token_not_yet_valid", "The token is not valid yet; compare the clocks.")
    if not 0 < token.exp - token.iat <= TOKEN_MAX_LIFETIME_S:
        raise unauthorized("token_lifetime_too_long", f"The token must live at most {TOKEN_MAX_LIFETIME_S} s.")


def _check_principals(token: Token) -> None:
    if not token.agent.startswith(f"agent:{token.tenant}/"):
        raise unauthorized("token_claims_invalid", "The acting agent must belong to the token's tenant.")
    if not token.sub.startswith((f"agent:{token.tenant}/", f"user:{token.tenant}/")):
        raise unauthorized("token_claims_invalid", "The subject must belong to the token's tenant.")
