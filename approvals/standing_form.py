"""The form that proposes a standing approval like a request: a bound for every argument, filled in from the example."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from pydantic import JsonValue, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.standing import ProposeStanding, propose_like, unbounded_argument
from approvals.standing_words import minor_of, money_of, suggested_bound, typed_value
from approvals.visitors import Visitor
from approvals.words import amount, minor_units, requirement_in_words
from contracts.approval import ApprovalView
from contracts.base import JsonObject, Record
from contracts.mistakes import words_of
from policy.standing import standing_requirement
from settings import SettingsError
from settings.standing import StandingScope, load_standing
from store.approvals import StoredRequest, find_request
from store.standing import StandingNotAllowed

__all__ = ["router"]

LikeQuery = Annotated[str, Query(pattern=r"^apr-[a-z2-7]{26}$")]
LikeField = Annotated[str, Form(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds("approve"))]
Poster = Annotated[Visitor, Depends(PostNeeds("approve"))]
_KINDS = {
    "of_event": "the one of the run's event",
    "equals": "exactly this",
    "one_of": "one of these, one a line",
    "at_most": "at most this",
    "any": "anything",
}
_LABELS = {
    "scope": "Scope",
    "max_uses": "At most so many times",
    "total_minor": "All of them together",
    "days": "For so many days",
    "reason": "Why",
}
"""What the fields are called on the page."""

router = APIRouter(include_in_schema=False)


class _Row(Record):
    """One argument in the form."""

    name: str
    example: str
    kind: str
    value: str
    unproven: bool
    is_number: bool
    money: str
    """Currency in which the number is typed; empty for other numbers."""
    mark: str
    """Where the example's value stood."""


@router.get("/standing/new")
async def new_standing(services: Parts, visitor: Reader, like: LikeQuery) -> Response:
    """The form."""
    request, view = await _example(services, visitor, like)
    return _page(services, visitor, request, view, {})


@router.post("/standing")
async def post_standing(services: Parts, visitor: Poster, request: Request, like: LikeField) -> Response:
    """Propose one. Nothing is approved by it."""
    example, view = await _example(services, visitor, like)
    form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    session = visitor.session
    try:
        posted = _proposal(form, view, like)
        async with services.database.tenant(visitor.tenant) as cursor:
            made = await propose_like(
                cursor, visitor.tenant, posted, standing_file=services.standing_file, username=session.username,
                person=session.person,
            )  # fmt: skip
    except ValidationError as error:
        return _page(services, visitor, example, view, form, f"Not proposed. {_mistake(error, tuple(view.arguments))}")
    except (StandingNotAllowed, SettingsError, ValueError) as refusal:
        return _page(services, visitor, example, view, form, f"Not proposed: {refusal}.")
    return RedirectResponse(f"/standing/{made.standing_id}", 303)


async def _example(services: Services, visitor: Visitor, like: str) -> tuple[StoredRequest, ApprovalView]:
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, like)
    if request is None or not request.is_intact():
        raise HTTPException(404)
    view = ApprovalView.model_validate_json(request.view)
    name = unbounded_argument(view)
    if name is not None:
        raise HTTPException(422, f"{view.tool} has an argument {name!r}, for which no bound can be given.")
    return request, view


def _proposal(form: Mapping[str, str], view: ApprovalView, like: str) -> ProposeStanding:
    total = minor_of(form.get("total", ""), view.currency) if view.currency else None
    return ProposeStanding.model_validate(
        {
            "like": like,
            "scope": form.get("scope", ""),
            "bounds": [_bound(form, name, value, view.currency) for name, value in view.arguments.items()],
            "max_uses": form.get("max_uses", ""),
            "total_minor": total,
            "days": form.get("days", ""),
            "reason": form.get("reason", ""),
        }
    )


def _mistake(error: ValidationError, arguments: Sequence[str]) -> str:
    """The first mistake, by the name that its field has on the page."""
    first = error.errors(include_url=False)[0]
    match first["loc"]:
        case ("bounds", int() as number, *_):
            where = arguments[number]
        case (str() as field, *_):
            where = _LABELS.get(field, field)
        case _:
            where = "The form"
    return f"{where}: {words_of(first)}."


def _bound(form: Mapping[str, str], name: str, example: JsonValue, currency: str | None) -> JsonObject:
    """The bound of one argument. Raises ValueError: what was typed is no value of it."""
    kind, typed = form.get(f"kind_{name}", ""), form.get(f"value_{name}", "")
    money = money_of(name, example, currency)
    bound: JsonObject = {"kind": kind, "argument": name, "unproven": f"unproven_{name}" in form}
    match kind:
        case "equals":
            bound["value"] = typed_value(name, typed, example, money)
        case "one_of":
            lines = [line.strip() for line in typed.splitlines() if line.strip()]
            bound["values"] = [typed_value(name, line, example, money) for line in lines]
        case "at_most":
            bound["most"] = typed_value(name, typed, 0, money)
        case _:
            pass
    return bound


def _page(
    services: Services,
    visitor: Visitor,
    request: StoredRequest,
    view: ApprovalView,
    form: Mapping[str, str],
    problem: str = "",
) -> Response:
    try:
        scopes = _fitting(load_standing(services.standing_file).scopes, view)
    except SettingsError as error:
        scopes, problem = {}, f"The scopes cannot be read: {error}"
    values = {
        "visitor": visitor,
        "request": request,
        "view": view,
        "amount": amount(view.money_minor, view.currency) if view.money_minor is not None and view.currency else "",
        "rows": [_row(name, value, view, form) for name, value in view.arguments.items()],
        "kinds": _KINDS,
        "scopes": scopes,
        "ceilings": {
            name: amount(scope.money[view.currency], view.currency)
            for name, scope in scopes.items()
            if view.currency and view.currency in scope.money
        },
        "needs": requirement_in_words(standing_requirement(view.requirement)),
        "rung": requirement_in_words(view.requirement),
        "form": form,
        "problem": problem,
    }
    return services.assets.page("standing_new.html", values, 422 if problem else 200)


def _fitting(scopes: Mapping[str, StandingScope], view: ApprovalView) -> dict[str, StandingScope]:
    asked = {reason.policy for reason in view.reasons}
    return {
        name: scope
        for name, scope in scopes.items()
        if scope.agent == view.agent
        and view.tool in scope.tools
        and view.requirement.id in scope.rungs
        and view.tier <= scope.max_tier
        and asked & set(scope.policies)
    }


def _row(name: str, value: JsonValue, view: ApprovalView, form: Mapping[str, str]) -> _Row:
    """One argument, as it was typed, or as the example suggests: never wider than the example."""
    trace = view.provenance.get(name, {})
    money = money_of(name, value, view.currency)
    text = value if isinstance(value, str) else json.dumps(value)
    if money and isinstance(value, int):
        text = str(Decimal(value).scaleb(-minor_units(money)))
    return _Row(
        name=name,
        example=text,
        kind=form.get(f"kind_{name}", suggested_bound(name, view).kind),
        value=form.get(f"value_{name}", text),
        unproven=f"unproven_{name}" in form,
        is_number=isinstance(value, int) and not isinstance(value, bool),
        money=money,
        mark=str(trace.get("label", "")),
    )
