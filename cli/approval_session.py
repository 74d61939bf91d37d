"""The command line's session with the approvals service: begun by password or in the browser."""

import socket
import sys
import time
from collections.abc import Callable
from typing import cast

import httpx

from approvals.characters import plain
from approvals.wire import GRANT_TYPE, DeviceCode, DeviceToken, Problem
from cli.asking import password_of
from cli.output import CliError
from cli.session_file import KeptSession
from settings import Settings
from store.accounts import ROLES

__all__ = ["problem_of", "sign_in_by_password", "sign_in_in_browser", "unreachable"]

_SLOWER_S = 5
_WAITING = {"authorization_pending": 0, "slow_down": _SLOWER_S}


def sign_in_by_password(settings: Settings, http: httpx.Client, tenant: str, user: str) -> KeptSession:
    """A session of somebody with a local account. The password comes from the settings, or is asked for."""
    typed = password_of(settings, f"Password of {user} ({tenant})")
    answer = _post(settings, http, "/api/sign-in", json={"tenant": tenant, "username": user, "password": typed})
    if not answer.is_success:
        raise CliError(problem_of(answer))
    return KeptSession.model_validate_json(answer.content)


def sign_in_in_browser(
    settings: Settings, http: httpx.Client, tenant: str, *, pause: Callable[[float], None] = time.sleep
) -> KeptSession:
    """A session of whoever lets this command line in, by whatever way they sign in there (RFC 8628)."""
    form = {"client_id": f"countersign command line at {_here()}", "scope": " ".join(ROLES), "tenant": tenant}
    answer = _post(settings, http, "/api/device/code", data=form)
    if not answer.is_success:
        raise CliError(problem_of(answer))
    asked = DeviceCode.model_validate_json(answer.content)
    sys.stderr.write(
        f"Open {asked.verification_uri_complete}\n"
        f"and let this command line in. The page must show the code {asked.user_code}.\n"
        f"Waiting, {asked.expires_in // 60} minutes at most…\n"
    )
    sys.stderr.flush()
    interval_s = asked.interval
    poll = {"grant_type": GRANT_TYPE, "device_code": asked.device_code, "client_id": form["client_id"]}
    while True:
        pause(interval_s)
        answer = _post(settings, http, "/api/device/token", data=poll)
        if answer.is_success:
            given = DeviceToken.model_validate_json(answer.content)
            return KeptSession(
                token=given.access_token, tenant=given.tenant, username=given.username, display_name=given.display_name
            )
        error = _code_of(answer)
        if error not in _WAITING:
            raise CliError(f"not signed in: {problem_of(answer)}")
        interval_s += _WAITING[error]


def problem_of(answer: httpx.Response) -> str:
    """What an answer that is no success says, in one line."""
    try:
        found: object = answer.json()
    except ValueError:
        found = None
    text = cast("dict[str, object]", found).get("detail") if isinstance(found, dict) else None
    return str(text) if text else f"the approval form answered {answer.status_code}. Look at `countersign status`."


def _code_of(answer: httpx.Response) -> str:
    try:
        return Problem.model_validate_json(answer.content).error or ""
    except ValueError:
        return ""


def _here() -> str:
    return plain(socket.gethostname())[:40] or "a computer without a name"


def _post(
    settings: Settings,
    http: httpx.Client,
    path: str,
    *,
    json: dict[str, str] | None = None,
    data: dict[str, str] | None = None,
) -> httpx.Response:
    try:
        return http.post(path, json=json, data=data)
    except httpx.TransportError as error:
        raise unreachable(settings, error) from error


def unreachable(settings: Settings, error: httpx.TransportError) -> CliError:
    """What to say when nobody answers."""
    return CliError(
        f"the approval form at {settings.web_url} does not answer ({type(error).__name__}). "
        "Look at `countersign status`."
    )
