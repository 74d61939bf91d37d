"""The command line's side of the approvals API: signing in once, keeping the session, errors in one line."""

import sys
from collections.abc import Mapping
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, RootModel

from approvals.list_filters import DecisionFilter, RequestFilter
from approvals.wire import (
    AssertionsReply,
    Closed,
    Decide,
    DecideStanding,
    DecisionReply,
    DelegationList,
    GiveOrder,
    Me,
    NewToken,
    OrderReply,
    RequestReply,
    ResolveDoubt,
    RevokeToken,
    SeenReply,
    StandingReply,
    TokenMade,
)
from cli.approval_session import problem_of, sign_in_by_password, sign_in_in_browser, unreachable
from cli.output import CliError
from cli.session_file import KeptSession, SessionFile
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

    Its token is kept in the state folder and renewed when it is over: in the browser, or with COUNTERSIGN_PASSWORD.
    """

    def __init__(
        self, settings: Settings, who: str | None, *, tenant: str | None = None, anybody: bool = False
    ) -> None:
        """`who` is `USER` or `TENANT/USER`; None: whoever signed in last. `anybody`: whoever signs in now."""
        self._settings = settings
        self._file = SessionFile(settings)
        self._kept = self._file.read()
        self._tenant, self._user = self._anybody(tenant) if anybody else self._identity(who, tenant)
        self._http = httpx.Client(base_url=settings.web_url, timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def sign_in(self, *, by_password: bool) -> Me:
        """Begin a session, whatever was kept, and say whose it is."""
        before = self._kept
        self._begin(by_password=by_password)
        if before:
            self._send("POST", "/api/sign-out", before.token, None, None)  # one session of ours is enough
        return self._call("GET", "/api/me", Me)

    def sign_out(self) -> bool:
        """End the session that is kept; False when none is."""
        if self._kept:
            self._send("POST", "/api/sign-out", self._kept.token, None, None)
        self._file.forget()
        return self._kept is not None

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

    def assertions(self, request_id: str) -> AssertionsReply:
        """What approvers signed with their passkeys."""
        return self._call("GET", f"/api/approvals/{request_id}/assertions", AssertionsReply)

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

    def _identity(self, who: str | None, tenant: str | None) -> tuple[str, str]:
        if who is None:
            if not self._kept:
                raise CliError("say who decides: --as USER (or TENANT/USER), or `countersign approvals sign-in`.")
            return self._kept.tenant, self._kept.username
        named, _, user = who.rpartition("/")
        return self._tenant_of(named or tenant, f"--as TENANT/{user}"), user.lower()

    def _anybody(self, tenant: str | None) -> tuple[str, str]:
        kept = self._kept.tenant if self._kept else None
        return self._tenant_of(tenant or kept, "--tenant TENANT"), ""

    def _tenant_of(self, named: str | None, remedy: str) -> str:
        known = sorted(load_tenants(self._settings.tenants_file).tenants)
        if named is None and len(known) > 1:
            raise CliError(f"there are several tenants ({', '.join(known)}): say {remedy}.")
        return named or known[0]

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
            raise CliError(problem_of(answer))
        return reply.model_validate_json(answer.content)

    def _token(self, *, anew: bool) -> str:
        kept = self._kept
        if kept and not anew and kept.tenant == self._tenant and self._user in ("", kept.username):
            return kept.token
        # Nobody at the keyboard: nobody who could open a page or type a password.
        if not (self._settings.password or sys.stdin.isatty()):
            raise CliError("sign in first: `countersign approvals sign-in`.")
        return self._begin(by_password=self._settings.password is not None).token

    def _begin(self, *, by_password: bool) -> KeptSession:
        if by_password:
            session = sign_in_by_password(self._settings, self._http, self._tenant, self._user)
        else:
            session = sign_in_in_browser(self._settings, self._http, self._tenant)
        if self._user not in ("", session.username):
            self._send("POST", "/api/sign-out", session.token, None, None)
            raise CliError(
                f"{session.username} let this command line in, not {self._user}. Sign in there as {self._user}, or "
                f"say --as {session.username}."
            )
        self._kept, self._user = session, session.username
        self._file.write(session)
        return session

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
            raise unreachable(self._settings, error) from error
