"""What is answered when something cannot be answered: a page for people, `application/problem+json` for programs."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from approvals.assets import Assets
from approvals.wire import Mistake, Problem
from contracts.mistakes import words_of
from settings.http_log import number_of
from store.database import StoreDown

__all__ = ["PROBLEM_TYPE", "add_problems", "problem"]

PROBLEM_TYPE = "application/problem+json"
_MAX_MISTAKES = 20
_LOG = logging.getLogger("approvals")
_TITLES = {
    400: "That address is not right",
    403: "Not allowed",
    404: "There is no such page",
    409: "Something changed",
    413: "Too large",
    503: "The database cannot be reached",
}


def problem(
    status: int, detail: str = "", headers: Mapping[str, str] | None = None, errors: tuple[Mistake, ...] = (), *,
    error: str | None = None,
) -> Response:  # fmt: skip
    """An answer for programs."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors, error=error)
    # A value that was sent may hold halves of characters, which are no JSON for others.
    content = body.model_dump_json(exclude_none=True).encode(errors="replace")
    return Response(content, status, dict(headers or {}), media_type=PROBLEM_TYPE)


def add_problems(app: FastAPI, assets: Assets) -> None:
    """Answer exceptions in the caller's own form."""

    def answer(
        request: Request, status: int, detail: str = "", *, headers: Mapping[str, str] | None = None,
        errors: tuple[Mistake, ...] = (),
    ) -> Response:  # fmt: skip
        if request.url.path.startswith("/api/"):
            return problem(status, detail, headers, errors)
        title = _TITLES.get(status, "Something went wrong")
        return assets.page("error.html", {"title": title, "detail": detail, "status": status}, status)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code < HTTPStatus.BAD_REQUEST:  # the way to the sign-in page; or nothing new
            return Response(status_code=error.status_code, headers=error.headers)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return answer(request, 405, headers={"allow": ", ".join(sorted(_methods_at(app, request.url.path)))})
        plain = "" if error.detail == HTTPStatus(error.status_code).phrase else error.detail
        return answer(request, error.status_code, plain, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if any(one["loc"][0] == "path" for one in found):
            return answer(request, 404)  # an id that cannot exist is an id that does not exist
        mistakes = tuple(
            Mistake(where=".".join(str(part) for part in one["loc"])[:300], why=words_of(one)[:500])
            for one in found[:_MAX_MISTAKES]
        )
        first = mistakes[0]
        detail = f"{first.where.partition('.')[2] or first.where}: {first.why}"
        return answer(request, 422, detail, errors=mistakes)

    @app.exception_handler(StoreDown)
    async def store_down(request: Request, error: StoreDown) -> Response:
        _LOG.error("no page without the database: %s", error)
        return answer(request, 503, "Nothing was decided. Try again in a minute.", headers={"retry-after": "60"})

    @app.exception_handler(ClientDisconnect)
    async def cut_off(request: Request, _error: ClientDisconnect) -> Response:
        return answer(request, 413)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        del error  # logged, with its traceback, by the server
        said = "A fault of this software. Nothing was decided by it; the log says more"
        number = number_of(request.scope)
        return answer(request, 500, f"{said}, under {number}." if number else f"{said}.")


def _methods_at(app: FastAPI, path: str) -> set[str]:
    """The methods of every route of that path: Starlette names those of the first alone."""
    routes = [context.original_route for context in iter_route_contexts(app.routes)]
    return {
        method
        for route in routes
        if isinstance(route, Route) and route.path_regex.match(path)
        for method in route.methods or ()
    }
