"""What an authorization server answers, and what its tokens say: read strictly where we depend on it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

__all__ = ["Granted", "TokenAnswer", "TokenRefusal"]

_Time = Annotated[int, Field(ge=0, le=2**40)]
_KINDS = frozenset({"urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"})


class _Answer(BaseModel):
    # Unknown members are ignored, as RFC 6749 and RFC 7519 ask of every recipient; known ones are not coerced.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class TokenAnswer(_Answer):
    """A success of the token endpoint (RFC 8693, 2.2.1)."""

    access_token: Annotated[SecretStr, Field(min_length=1, max_length=16_384)]
    """The token."""
    issued_token_type: str
    """Kind of token."""
    token_type: str
    """How it is used."""
    scope: str | None = None
    """What was granted; absent: what was asked for."""

    @field_validator("token_type")
    @classmethod
    def _is_bearer(cls, value: str) -> str:
        if value.lower() != "bearer":
            raise ValueError("is not Bearer")
        return value

    @field_validator("issued_token_type")
    @classmethod
    def _is_access_token(cls, value: str) -> str:
        if value not in _KINDS:
            raise ValueError("is no access token")
        return value


class TokenRefusal(_Answer):
    """A refusal of the token endpoint (RFC 6749, 5.2)."""

    error: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,60}$")]
    """Its code."""


class Granted(_Answer):
    """The claims of an access token (RFC 9068, RFC 9396)."""

    iss: str
    """The server."""
    aud: str | list[str]
    """The service."""
    sub: str
    """Agent, or the user that it acts for."""
    exp: _Time
    """Unix seconds."""
    iat: _Time | None = None
    """Unix seconds."""
    nbf: _Time | None = None
    """Unix seconds."""
    scope: str = ""
    """Space-separated."""
    authorization_details: list[dict[str, str | int | list[str] | None]] = Field(max_length=10)
    """The calls that it is good for."""
    token_use: Literal["access"] | None = None
    """Where a server says what the token is for, it must be access."""
