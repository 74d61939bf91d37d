"""Configuration of the backoffice process, from environment variables that start with ``BACKOFFICE_``."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

TOKEN_MAX_LIFETIME_S = 300
"""Longest accepted distance between a token's ``iat`` and ``exp``."""

CLOCK_LEEWAY_S = 30
"""How far the issuer's clock may differ from ours. A token is dead for good at ``exp`` plus this."""

IDEMPOTENCY_KEY_WINDOW_S = 7 * 24 * 3600
"""How long a caller may rely on a key being remembered."""

BODY_MAX_BYTES = 64 * 1024
"""Largest request body that is read, admin requests apart."""

ADMIN_BODY_MAX_BYTES = 8 * 1024 * 1024
"""Largest admin request body: a seed document may carry thousands of orders."""


class Settings(BaseSettings):
    """What this process needs to know. Every field has an environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="BACKOFFICE_", env_ignore_empty=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    db_path: Path = Path(".countersign/backoffice.sqlite3")
    """SQLite database file. Created, with its folder, when absent."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8402
    """TCP port to listen on; 0 lets the system choose one."""

    jwks: str | None = None
    """Public JSON Web Key Set of the issuer: a file path, or an http(s) URL. Without it nothing is authorised."""

    audience: str = "backoffice"
    """The ``aud`` that a token must name."""

    issuer: str = "countersign"
    """The ``iss`` that a token must name."""

    typ: Literal["JWT", "at+jwt"] = "JWT"
    """The ``typ`` that a token must have: ``at+jwt`` where an OAuth authorization server issues them (RFC 9068)."""

    epochs: str | None = None
    """Where the issuer publishes which tokens it revoked, an http(s) URL. Unset: we know what is pushed to us."""

    epochs_age_s: Annotated[float, Field(ge=0, le=300)] = 2.0
    """How old our knowledge of revoked tokens may be before it is fetched again."""

    epochs_stale_s: Annotated[float, Field(ge=1, le=300)] = 60.0
    """How old it may become, when it cannot be fetched, before nothing is authorised any more."""

    tools: dict[str, tuple[str, ...]] = {}
    """Tools that may use an endpoint, by its name (``POST /refunds``), as JSON. One that is absent takes any."""

    seed_file: Path = Path(__file__).with_name("seed.yaml")
    """YAML document that fills an empty database, and that a reset returns to."""

    admin_token: SecretStr | None = None
    """Bearer token of the admin endpoints. Unset: those endpoints answer 404."""

    hang_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a planned timeout keeps the caller waiting, unless the plan says otherwise."""
