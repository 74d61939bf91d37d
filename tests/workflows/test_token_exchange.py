"""A whole run whose every call is made with a token of a real authorization server, on behalf of a person."""

import json
import time
import uuid
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from contracts.agent import Stage
from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent, EventOrigin, RunRequest
from contracts.outcome import Outcome, RunReport
from settings.signing_keys import parse_keys, public_set
from store.inbox import Arrival, accept
from tests.activities.credentials.server import real_server, told_server
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import ENDPOINT, SOURCE, TENANT, Installation, installed
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.node


async def run_for(installation: Installation, user: str) -> RunReport:
    """The run of a small refund that acts for a user of the tenant."""
    event = AcceptedEvent(
        id=uuid.uuid4().hex,
        source=SOURCE,
        type="ticket.created",
        data={"ticket_id": "TIC-2001"},
        trusted=("ticket_id",),
    )
    run_id = run_id_for(TENANT, ENDPOINT, event.key)
    await accept(
        installation.db,
        Arrival(
            tenant=TENANT, endpoint=ENDPOINT, event=event, agent="support_refund", run_id=run_id, on_behalf_of=user
        ),
    )  # fmt: skip
    origin = EventOrigin(endpoint=ENDPOINT, event_id=event.key, body_digest=event.body_digest)
    request = RunRequest(tenant=TENANT, run_id=run_id, agent="support_refund", origin=origin, on_behalf_of=user)
    handle = await installation.client.start_workflow(
        AgentRun.run, request, id=run_id, task_queue=installation.settings.temporal_task_queue
    )
    return await handle.result()


@pytest.mark.req("I2", "I3")
async def test_a_run_acts_for_a_person_with_tokens_of_an_authorization_server(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, credential_key: tuple[Path, Path]
) -> None:
    client_key = OKPKey.generate_key("Ed25519")
    (tmp_path / "client.jwk").write_text(json.dumps(client_key.as_dict(private=True)))
    with told_server() as keys:
        keys.documents["/jwks.json"] = public_set(parse_keys(credential_key[0].read_text()), time.time())
        with (
            real_server(f"{keys.url}/jwks.json", client_key, tmp_path / "server.log") as server,
            Server(
                tmp_path, f"{server.issuer}/jwks", BACKOFFICE_ISSUER=server.issuer, BACKOFFICE_TYP="at+jwt"
            ) as backoffice,
        ):
            credentials = {
                "kind": "token_exchange", "token_endpoint": f"{server.issuer}/token", "issuer": server.issuer,
                "jwks": f"{server.issuer}/jwks", "client_id": "countersign", "audience": "backoffice",
                "client_key": f"file:{tmp_path / 'client.jwk'}",
            }  # fmt: skip
            async with installed(
                tmp_path / "run", database.url, temporal_address, backoffice, credential_key[0],
                stage=Stage.LIMITED_AUTONOMY, tier_ceiling=3, worker=True,
                services={"backoffice": {"url": backoffice.url, "credentials": credentials}},
            ) as installation:  # fmt: skip
                report = await run_for(installation, "lena")
            effects = backoffice.books()["effects"]
    assert report.outcome is Outcome.COMPLETED
    assert {(entry["subject"], entry["actor"]) for entry in effects} == {
        ("user:acme/lena", "agent:acme/support_refund")
    }
    assert {entry["run"] for entry in effects} == {report.run_id}
