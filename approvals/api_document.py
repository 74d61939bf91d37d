"""The API's OpenAPI document: what the routes say of themselves, with who may call them and every way they refuse."""

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from approvals.problems import PROBLEM_TYPE
from approvals.roles import ANYBODY, role_of, scope_of
from approvals.wire import Problem

__all__ = ["API_VERSION", "describe_api"]

API_VERSION = "1"
_ABOUT = """
Approval requests, as the form shows them, and decisions on them, for other front ends and for machines.

A decision is a person's: it needs the token of a session that the person began by signing in here, and it carries the
digest of what was shown to them. A machine's token lists, looks and stops by its scopes; it can never decide.
`docs/API.md` says how to build a front end on it. Fields may be added to answers; none changes its meaning.
"""
_REFUSALS = {
    400: "It cannot be read: a damaged cursor, or a body that is no text",
    401: "No token, or one that is not valid any more",
    403: "The account has no such role, or the token no such scope",
    404: "There is no such thing in the tenant of the token",
    409: "It cannot be done as things stand; the detail says why",
    413: "The body is too large",
    421: "The address is not this service's",
    422: "The request is not as described",
    429: "Too many tries",
    503: "The database cannot be reached; nothing was done",
}


def describe_api(app: FastAPI) -> None:
    """Make the application describe itself so."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = described


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title="Countersign", version=API_VERSION, description=_ABOUT.strip(), routes=app.routes)
    parts: dict[str, Any] = document["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}
    _require_tags(parts["schemas"], document)
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for route in _api_routes(app):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            _complete(document["paths"][route.path_format][method.lower()], route)
    return document


def _require_tags(schemas: dict[str, Any], inside: object) -> None:
    """What tells the kinds of a union apart must be sent, although each kind has a default for it in our code."""
    if isinstance(inside, list):
        for part in cast("list[object]", inside):
            _require_tags(schemas, part)
    if not isinstance(inside, dict):
        return
    found = cast("dict[str, Any]", inside)
    tag = cast("dict[str, Any]", found.get("discriminator") or {})
    for reference in tag.get("mapping", {}).values():
        schema: dict[str, list[str]] = schemas[reference.rpartition("/")[2]]
        schema["required"] = sorted({*schema.get("required", ()), str(tag["propertyName"])})
    for part in found.values():
        _require_tags(schemas, part)


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    role, scope = role_of(route), scope_of(route)
    answers: dict[str, Any] = operation["responses"]
    answers.pop("422", None)
    refusals = {int(status) for status in answers if int(status) in _REFUSALS} | {421, 503}
    if role is not None:
        operation["security"] = [{"token": []}]
        who = "Anybody who is signed in" if role == ANYBODY else f"A person with the role `{role}`"
        machine = f", or a machine with the scope `{scope}`" if scope else ""
        operation["description"] = f"{operation.get('description', '')}\n\n{who}{machine}.".strip()
        refusals |= {401} | ({403} if role != ANYBODY or scope is None else set())
    if "requestBody" in operation:
        refusals |= {400, 413, 422}
    where = {parameter["in"] for parameter in operation.get("parameters", ())}
    refusals |= ({404} if "path" in where else set()) | ({422} if where & {"query", "header"} else set())
    for status in sorted(refusals):
        reference = {"$ref": "#/components/schemas/Problem"}
        answers[str(status)] = {"description": _REFUSALS[status], "content": {PROBLEM_TYPE: {"schema": reference}}}


def _api_routes(app: FastAPI) -> list[APIRoute]:
    found = [context.original_route for context in iter_route_contexts(app.routes)]
    return [route for route in found if isinstance(route, APIRoute) and route.include_in_schema]
