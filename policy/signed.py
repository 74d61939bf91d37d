"""Statements that the approvals service signs: one envelope for votes and commands, told apart by their type. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Literal, TypeVar, cast

import rfc8785
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ValidationError

from contracts.canonical import canonical_bytes

__all__ = ["CLOCK_SKEW_S", "SIGNATURE_ALGORITHM", "SignatureProblem", "read_signed"]

StatementT = TypeVar("StatementT", bound=BaseModel)

SIGNATURE_ALGORITHM = "Ed25519"
"""RFC 9864's name of EdDSA with this curve; the older name says less and is deprecated. No other is accepted."""
CLOCK_SKEW_S = 60
"""How far the clocks of the approvals service and the run may differ; more is a fault that a worker stops at."""
SignatureProblem = Literal["malformed", "unknown_key", "bad_signature"]

_MAX_CHARACTERS = 16_384
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


def read_signed(
    text: str, keys: Mapping[str, str], *, type_: str, model: type[StatementT]
) -> StatementT | SignatureProblem:
    """The statement that a known key signed, or why there is none. Never raises, whatever the input.

    `keys` are public Ed25519 JWKs as JSON text, by key id. `type_` is the token's `typ` (RFC 8725, 3.11): what the same
    key signs for another purpose does not pass. Signed bytes that are not the canonical JSON of the statement that they
    parse to are refused: one statement has one form.
    """
    payload = _verified(text, keys, type_)
    if not isinstance(payload, bytes):
        return payload
    try:
        statement = model.model_validate_json(payload)
        return statement if canonical_bytes(statement) == payload else "malformed"
    except (ValidationError, rfc8785.CanonicalizationError):
        return "malformed"


def _verified(text: str, keys: Mapping[str, str], type_: str) -> bytes | SignatureProblem:
    found = _open(text, type_)
    if found is None:
        return "malformed"
    token, key_id = found
    key = _public_key(keys.get(key_id))
    if key is None:
        return "unknown_key"
    try:
        if not jws.validate_compact(token, key, algorithms=[SIGNATURE_ALGORITHM]):
            return "bad_signature"
    except (JoseError, ValueError, TypeError):
        return "bad_signature"
    return token.payload or b""


def _open(text: str, type_: str) -> tuple[jws.CompactSignature, str] | None:
    """The token and the key id that its header names; nothing of it is verified yet."""
    if len(text) > _MAX_CHARACTERS or not _COMPACT.fullmatch(text):
        return None
    try:
        token = jws.extract_compact(text.encode())
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        return None  # a stranger's JSON of any shape and depth
    header = cast("object", token.headers())
    key_id = cast("dict[str, object]", header).get("kid") if isinstance(header, dict) else None
    # Compared whole, so that neither another algorithm nor a critical extension can come in by the header.
    if not isinstance(key_id, str) or header != {"alg": SIGNATURE_ALGORITHM, "kid": key_id, "typ": type_}:
        return None
    return token, key_id


def _public_key(text: str | None) -> OKPKey | None:
    if text is None:
        return None
    try:
        jwk = json.loads(text)
        return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": jwk["x"]})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
