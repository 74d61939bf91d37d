"""The command line's side of the approvals API: signing in once, keeping the session, errors in one line."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar, cast

import httpx
import typer
from pydantic import BaseModel, RootModel

from approvals.api import DecisionReply, RequestReply, SeenReply
from approvals.api_account import NewToken, RevokeToken, SignedIn, TokenMade
from approvals.decide import Decide
from approvals.delegation_pages import DelegationList
from approvals.doubts import Closed, ResolveDoubt
from approvals.list_filters import DecisionFilter, RequestFilter
from approvals.operate import GiveOrder
from approvals.standing import DecideStanding
from approvals.standing_pages import StandingReply
from approvals.stop_api import OrderReply
from cli.output import CliError
from settings import Settings
from settings.tenants import load_tenants
from store.api_tokens import ApiToken
from store.approval_lists import RequestPage
from store.vote_lists import DecisionPage

__all__ = ["ApprovalsClient"]

_TIMEOUT_S = 30
_SIGNED_OUT = 401
ReplyT = TypeVar("ReplyT", bound=BaseModel)


class _Tokens(RootModel[tuple[ApiToken, ...]]):
    """The tokens of a tenant."""


class ApprovalsClient:
    """A session of one person with the approvals service.

    Its token is kept in the state folder, readable by the operating system's user alone, and renewed when it is over.
    """

    def __init__(self, settings: Settings, who: str | None) -> None:
        """`who` is `USER` or `TENANT/USER`; None: whoever signed in last."""
        self._settings = settings
        self._file = settings.state_dir / "cli-session.json"
        self._kept = _read(self._file, settings.web_url)
        self._tenant, self._user = self._identity(who)
        self._http = httpx.Client(base_url=settings.web_url, timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def list(self, asked: RequestFilter) -> RequestPage:
        """A page of requests."""
        return self._call("GET", "/api/approvals", RequestPage, params=asked.model_dump(mode="json"))

    def decisions(self, asked: DecisionFilter) -> DecisionPage:
        """A page of what people decided."""
        return self._call("GET", "/api/decisions", DecisionPage, params=asked.model_dump(mode="json"))

    def make_token(self, new: NewToken) -> TokenMade:
        """A token of a machine, shown this once."""
        return self._call("POST", "/api/tokens", TokenMade, body=new)

    def tokens(self) -> tuple[ApiToken, ...]:
        """What is kept of the machines' tokens."""
        return self._call("GET", "/api/tokens", _Tokens).root

    def revoke_token(self, token_id: str, why: RevokeToken) -> ApiToken:
        """End a machine's token."""
        return self._call("POST", f"/api/tokens/{token_id}/revocation", ApiToken, body=why)

    def show(self, request_id: str) -> RequestReply:
        """One request with its digest."""
        return self._call("GET", f"/api/approvals/{request_id}", RequestReply)

    def seen(self, request_id: str) -> SeenReply:
        """The pages on which people decided in a browser."""
        return self._call("GET", f"/api/approvals/{request_id}/seen", SeenReply)

    def decide(self, request_id: str, decision: Decide) -> DecisionReply:
        """Decide what the digest says."""
        return self._call("POST", f"/api/approvals/{request_id}/decision", DecisionReply, body=decision)

    def show_standing(self, standing_id: str) -> StandingReply:
        """One standing approval with its digest."""
        return self._call("GET", f"/api/standing/{standing_id}", StandingReply)

    def decide_standing(self, standing_id: str, decision: DecideStanding) -> StandingReply:
        """Decide what the digest says."""
        return self._call("POST", f"/api/standing/{standing_id}/decision", StandingReply, body=decision)

    def delegation_of(self, approver: str) -> str:
        """The delegation under which the signed-in person decides for an approver now."""
        found = self._call("GET", "/api/delegations", DelegationList).delegations
        mine = [one for one in found if one.state == "in_force" and one.delegate == self._user]
        fitting = [one for one in mine if one.approver == approver.lower()]
        if not fitting:
            names = ", ".join(one.approver for one in mine) or "nobody"
            raise CliError(f"{approver} has not named you, {self._user}, their delegate; you decide for {names} now.")
        return fitting[0].delegation_id

    def order(self, run_id: str, posted: GiveOrder) -> OrderReply:
        """Pause, resume, end or hand over a run."""
        return self._call("POST", f"/api/runs/{run_id}/orders", OrderReply, body=posted)

    def resolve_doubt(self, effect_key: str, body: ResolveDoubt) -> Closed:
        """Close a doubt in the ledger."""
        return self._call("POST", f"/api/doubts/{effect_key}/resolution", Closed, body=body)

    def _identity(self, who: str | None) -> tuple[str, str]:
        if who is None:
            if not self._kept:
                raise CliError("say who decides: --as USER (or TENANT/USER). It is remembered afterwards.")
            return self._kept.tenant, self._kept.username
        tenant, slash, user = who.rpartition("/")
        if not slash:
            known = list(load_tenants(self._settings.tenants_file).tenants)
            if len(known) > 1:
                raise CliError(f"there are several tenants ({', '.join(sorted(known))}): say --as TENANT/{user}.")
            tenant = known[0]
        return tenant, user.lower()

    def _call(
        self,
        method: str,
        path: str,
        reply: type[ReplyT],
        *,
        params: Mapping[str, str | int] | None = None,
        body: BaseModel | None = None,
    ) -> ReplyT:
        answer = self._send(method, path, self._token(anew=False), params, body)
        if answer.status_code == _SIGNED_OUT:
            answer = self._send(method, path, self._token(anew=True), params, body)
        if not answer.is_success:
            raise CliError(_problem(answer))
        return reply.model_validate_json(answer.content)

    def _token(self, *, anew: bool) -> str:
        kept = self._kept
        if kept and not anew and (kept.tenant, kept.username) == (self._tenant, self._user):
            return kept.token
        password = self._settings.password
        typed = (
            password.get_secret_value()
            if password
            else typer.prompt(f"Password of {self._user} ({self._tenant})", hide_input=True, err=True)
        )
        body = {"tenant": self._tenant, "username": self._user, "password": typed}
        answer = self._send("POST", "/api/sign-in", "", None, body)
        if not answer.is_success:
            raise CliError(_problem(answer))
        self._kept = SignedIn.model_validate_json(answer.content)
        _write(self._file, self._settings.web_url, self._kept)
        return self._kept.token

    def _send(
        self,
        method: str,
        path: str,
        token: str,
        params: Mapping[str, str | int] | None,
        body: BaseModel | dict[str, str] | None,
    ) -> httpx.Response:
        content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return self._http.request(method, path, params=params, json=content, headers=headers)
        except httpx.TransportError as error:
            raise CliError(
                f"the approval form at {self._settings.web_url} does not answer ({type(error).__name__}). "
                "Look at `countersign status`."
            ) from error


def _problem(answer: httpx.Response) -> str:
    try:
        found: object = answer.json()
    except ValueError:
        found = None
    text = cast("dict[str, object]", found).get("detail") if isinstance(found, dict) else None
    return str(text) if text else f"the approval form answered {answer.status_code}. Look at `countersign status`."


def _read(file: Path, web_url: str) -> SignedIn | None:
    try:
        found = json.loads(file.read_bytes())
        return SignedIn.model_validate(found["session"]) if found["web_url"] == web_url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, web_url: str, session: SignedIn) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    # Never readable by others, not even for a moment.
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump({"web_url": web_url, "session": session.model_dump(mode="json")}, stream)
    new.replace(file)
