"""The one shape of every refusal: a status, a stable code, and a sentence for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi.responses import JSONResponse


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was understood and declined. A value, because a refusal decided under a key is stored."""

    status_code: int
    code: str
    message: str


class ApiError(Exception):
    """A request that stopped before anything was decided: bad token, bad body, planned fault. Never stored."""

    def __init__(self, status_code: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Carry what the answer will say; the headers are sent along."""
        super().__init__(f"{code}: {message}")
        self.status_code = status_code
        self.code = code
        self.message = message
        self.headers: Mapping[str, str] = headers or {}


def unauthorized(code: str, message: str) -> ApiError:
    """Build the 401 for a token that proves nothing, with the challenge header of RFC 6750."""
    return ApiError(401, code, message, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def error_body(code: str, message: str) -> dict[str, str]:
    """Return the JSON object of every refusal."""
    return {"code": code, "message": message}


def error_response(error: ApiError) -> JSONResponse:
    """Render an ``ApiError`` as its HTTP answer."""
    return JSONResponse(error_body(error.code, error.message), error.status_code, headers=dict(error.headers))
