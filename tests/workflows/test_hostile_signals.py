"""Two hundred hostile signals straight at a real run: none changes anything, and the real vote still counts."""

import asyncio
import base64
import random
import string

import pytest
from joserfc.jwk import OKPKey

from approvals.signing import VoteSigner
from cli.timeline import MAX_STRAYS, timeline
from contracts.canonical import canonical_bytes
from contracts.outcome import Outcome
from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted
from incidents.history import fetch_history
from incidents.tell import tell
from policy.votes import VOTE_TYPE
from store.approvals import StoredRequest
from tests.installation import Installation, opaque
from workflows.agent_run import AgentRun

SIGNALS = 200


def hostile(chance: random.Random, signer: VoteSigner, request: StoredRequest, run_id: str) -> SignedVote:
    """A vote that must not count: forged, mangled, mis-signed, re-targeted, unsigned or plain noise."""
    vote = Vote(
        tenant="acme", run_id=run_id, request_id=request.request_id, digest=request.digest, verdict=Verdict.APPROVE,
        decision_id=opaque("dec"), issuer="local", subject="lena", person="lena", display_name="Lena",
        groups=("support-leads",), authenticated_at=1, strength="password", voted_at=1, expires_at=2**33,
    )  # fmt: skip
    now = int(request.opened_at.timestamp()) + 1
    fresh = vote.model_copy(update={"authenticated_at": now, "voted_at": now})
    stranger = VoteSigner(OKPKey.generate_key("Ed25519"))
    genuine = signer.sign(fresh)
    head, body, tail = genuine.jws.split(".")
    match chance.randrange(8):
        case 0:
            return SignedVote(jws="".join(chance.choices(string.printable, k=chance.randrange(300))))
        case 1:
            return stranger.sign(fresh)
        case 2:
            return SignedVote(jws=f"{head}.{body}.{tail[:-4]}AAAA")
        case 3:
            position = chance.randrange(len(body))
            other = "A" if body[position] != "A" else "B"
            return SignedVote(jws=f"{head}.{body[:position]}{other}{body[position + 1 :]}.{tail}")
        case 4:
            return signer.sign(fresh.model_copy(update={"run_id": "run-" + "a" * 26}))
        case 5:
            return signer.sign(fresh.model_copy(update={"digest": "sha256:" + "0" * 64}))
        case 6:
            header = {"alg": "none", "kid": signer.kid, "typ": VOTE_TYPE}
            return SignedVote(jws=f"{_b64(canonical_bytes(header))}.{body}.")
        case _:
            return signer.sign(vote)  # signed in half a century ago


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.req("A1")
async def test_two_hundred_hostile_signals_change_nothing(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2006"})
    request = await installation.open_request(handle)
    chance = random.Random(20261121)
    signals = [hostile(chance, installation.signer, request, handle.id) for _ in range(SIGNALS)]
    for start in range(0, SIGNALS, 25):
        await asyncio.gather(*(handle.signal(AgentRun.vote, signal) for signal in signals[start : start + 25]))
    snapshot = await handle.query(AgentRun.snapshot)
    assert snapshot.open_requests == (request.request_id,)
    assert (snapshot.votes_counted, snapshot.refused_votes) == (0, SIGNALS)
    assert len(snapshot.refusals) == 100
    assert installation.refunds() == []
    assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1
    # Whoever reads the run sees the first of them with what was wrong, how many more there were, and the vote.
    story = tell(await fetch_history(installation.client, handle.id))
    said = [line.text.plain for line in timeline(story)]
    assert sum("nobody vouches for" in line and "not counted: " in line for line in said) == MAX_STRAYS
    assert f"{len(story.strays) - MAX_STRAYS} more signals" in "\n".join(said)
    assert sum("Lena" in line and "not counted" not in line for line in said) == 1
