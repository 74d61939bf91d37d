"""An approver for unattended demos: decides through the real form, with a session, its hidden fields and its digest."""

import re
from html import unescape

import httpx

from cli.output import CliError

__all__ = ["FormApprover"]

_TIMEOUT_S = 20
_FIELD = re.compile(r'<input type="hidden" name="(csrf|digest|seen)" value="([^"]*)">')
_REQUEST = re.compile(r'href="/requests/(apr-[a-z2-7]{26})"')


class FormApprover:
    """Signs in to the form as a person does, and approves what it finds."""

    def __init__(self, url: str, tenant: str, username: str, password: str) -> None:
        """Sign in.

        Raises:
            CliError: the form does not let this account in.
        """
        self._http = httpx.Client(
            base_url=url,
            timeout=_TIMEOUT_S,
            headers={"Origin": url.rstrip("/")},
            follow_redirects=True,
            trust_env=False,
        )
        answer = self._http.post("/sign-in", data={"tenant": tenant, "username": username, "password": password})
        if not answer.is_success:
            raise CliError(f"the form did not let {username} in ({answer.status_code}). Look at `countersign status`.")

    def open_requests(self) -> list[str]:
        """Requests in the inbox that this person may decide."""
        return list(dict.fromkeys(_REQUEST.findall(self._http.get("/requests").text)))

    def approve(self, request_id: str) -> None:
        """Read the request's page and approve what it shows.

        Raises:
            CliError: the page has no form, or the decision was not taken.
        """
        page = self._http.get(f"/requests/{request_id}")
        fields = {name: unescape(value) for name, value in _FIELD.findall(page.text)}
        if fields.keys() != {"csrf", "digest", "seen"}:
            raise CliError(f"the page of {request_id} has no form to approve with. Open it and see why.")
        answer = self._http.post(f"/requests/{request_id}/decision", data={**fields, "verdict": "approve"})
        if not answer.is_success:
            raise CliError(f"the form did not take the approval of {request_id} ({answer.status_code}).")
