"""Turning an HTTP request into checked arguments and their digest."""

import hashlib
import json
from typing import Any, TypeVar

import rfc8785
from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from examples.backoffice.errors import ApiError
from examples.backoffice.wire_arguments import Arguments, EffectKey

ModelT = TypeVar("ModelT", bound=BaseModel)
ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)

_effect_key: TypeAdapter[str] = TypeAdapter(EffectKey)


def invalid(error: ValidationError) -> ApiError:
    """Name the first mistake of an arguments object, without repeating its value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "arguments"
    return ApiError(422, "arguments_invalid", f"{where}: {first['msg']}.")


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body, or stop reading it at the limit. Raises ApiError 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise ApiError(413, "body_too_large", f"The body is larger than {limit_bytes} bytes.")
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object in which no name stands twice. Raises ApiError 422."""
    try:
        parsed = json.loads(body, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "arguments_invalid", f"The body is not a JSON object: {error}.") from None
    if not isinstance(parsed, dict):
        raise ApiError(422, "arguments_invalid", "The body is not a JSON object.")
    return parsed  # pyright: ignore[reportUnknownVariableType] - JSON has no narrower type here


def arguments_of_read(request: Request, model: type[ArgumentsT]) -> tuple[ArgumentsT, str]:
    """Return path and query parameters as arguments, with their digest. Raises ApiError 422."""
    given = [*request.path_params.items(), *request.query_params.multi_items()]
    named: dict[str, Any] = dict(given)
    if len(named) != len(given):
        raise ApiError(422, "arguments_invalid", "A parameter is given twice.")
    try:
        arguments = model.model_validate_strings(named)
    except ValidationError as error:
        raise invalid(error) from None
    return arguments, digest(arguments.model_dump(mode="json", exclude_unset=True))


def arguments_of_change(request: Request, body: bytes, model: type[ArgumentsT]) -> tuple[ArgumentsT, str]:
    """Return the body as arguments, with the digest of what was sent. Raises ApiError 422."""
    sent = parse_object(body)
    if request.query_params:
        raise ApiError(422, "arguments_invalid", "A write takes no query parameters.")
    try:
        arguments = model.model_validate(sent, strict=True)
    except ValidationError as error:
        raise invalid(error) from None
    for name, value in request.path_params.items():
        # The digest covers the body alone: a path that says something else would be acting outside of it.
        if sent[name] != value:
            raise ApiError(422, "path_mismatch", f"{name} differs between path and body.")
    return arguments, digest(sent)


def idempotency_key(request: Request) -> str:
    """Return the one Idempotency-Key of a write. Raises ApiError 422."""
    given = request.headers.getlist("idempotency-key")
    try:
        return _effect_key.validate_python(given[0] if len(given) == 1 else None)
    except ValidationError:
        raise ApiError(
            422, "idempotency_key_missing", "Send one Idempotency-Key of 1 to 200 visible ASCII characters."
        ) from None


def digest(arguments: dict[str, Any]) -> str:
    """Return the hex SHA-256 of the canonical form (RFC 8785)."""
    try:
        return hashlib.sha256(rfc8785.dumps(arguments)).hexdigest()
    except ValueError as error:
        raise ApiError(422, "arguments_invalid", f"The arguments have no canonical form: {error}.") from None


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name stands twice")
    return named


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
