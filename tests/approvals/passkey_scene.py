"""People with passkeys in front of the form: registering, signing in and deciding as the page's script does it."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx

from contracts.vote import SignedVote, Vote
from policy.votes import read_vote
from store.approvals import StoredRequest
from store.passkeys import events_of
from store.votes import votes_on
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import Office, form_on, sign_in
from tests.approvals.scene import TENANT, TWO_FINANCE, Person, ask

__all__ = [
    "REASON",
    "arm",
    "challenge",
    "decided",
    "decision",
    "halfway",
    "irreversible",
    "refusals",
    "registered",
    "votes",
    "with_passkey",
]  # fmt: skip

REASON = "Checked with the bank.\r\nTwice."


async def registered(client: httpx.AsyncClient, key: Authenticator, name: str = "phone") -> httpx.Response:
    """Add a passkey on the page."""
    csrf = (await form_on(client, "/passkeys"))["csrf"]
    options = (await client.post("/passkeys/options", data={"csrf": csrf})).json()
    if "challenge" not in options:
        return await client.post("/passkeys", data={"csrf": csrf, "name": name, "answer": "{}"})
    return await client.post("/passkeys", data={"csrf": csrf, "name": name, "answer": key.make(options)})


async def halfway(client: httpx.AsyncClient, who: Person) -> dict[str, Any]:
    """Give the password; what the page then asks an authenticator for."""
    answer = await sign_in(client, who)
    assert answer.status_code == 200
    return json.loads(unescape(answer.text.partition('data-options="')[2].partition('"')[0]))


@asynccontextmanager
async def with_passkey(office: Office, who: Person, key: Authenticator) -> AsyncGenerator[httpx.AsyncClient]:
    """Signed in by password, then given a passkey, then signed in with it."""
    async with office.signed_in(who) as client:
        await arm(client, who, key)
        yield client


async def arm(client: httpx.AsyncClient, who: Person, key: Authenticator) -> None:
    """Give somebody who is signed in by password a passkey, and sign them in with it."""
    assert (await registered(client, key)).status_code == 303
    answer = await client.post("/sign-in/passkey", data={"answer": key.use(await halfway(client, who))})
    assert answer.status_code == 303, answer.text


async def decision(client: httpx.AsyncClient, request: StoredRequest, **changes: str) -> dict[str, str]:
    """The form of an approval, filled in."""
    form = await form_on(client, f"/requests/{request.request_id}")
    return {**form, "digest": request.digest, "verdict": "approve", "reason": REASON, **changes}


async def challenge(client: httpx.AsyncClient, request: StoredRequest, form: dict[str, str]) -> dict[str, Any]:
    """What the page's script asks an authenticator for."""
    answer = await client.post(f"/passkeys/challenge/{request.request_id}", data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def decided(
    client: httpx.AsyncClient, request: StoredRequest, form: dict[str, str], answer: str
) -> httpx.Response:
    return await client.post(f"/requests/{request.request_id}/decision", data={**form, "answer": answer})


async def votes(office: Office, request: StoredRequest) -> list[Vote]:
    async with office.db.tenant(TENANT) as cursor:
        found = await votes_on(cursor, TENANT, request.request_id)
    readings = [read_vote(SignedVote(jws=vote.jws), office.app.state.services.signer.public_keys) for vote in found]
    assert all(isinstance(one, Vote) for one in readings)
    return [one for one in readings if isinstance(one, Vote)]


async def refusals(office: Office, who: Person) -> list[str]:
    async with office.db.tenant(TENANT) as cursor:
        return [one.detail for one in await events_of(cursor, TENANT, who.username) if one.verb == "refuse"]


async def irreversible(office: Office, name: str = "1") -> StoredRequest:
    return await ask(office.db, name, tier=4, requirement=TWO_FINANCE)
