"""What a worker tells services: everybody's public keys, and the epochs below which credentials are refused."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from joserfc import jws
from starlette.applications import Starlette

from activities.credentials import CallIdentity, OwnIssuer
from activities.services import CallContext, Services
from contracts.base import JsonObject
from contracts.tool import Rejected
from settings.key_files import replace_in_place
from settings.services import ServiceEntry
from settings.signing_keys import SigningKeys, key_set_text, new_key, rotated
from store.credential_keys import retire_credential_key
from store.database import Database
from store.revocations import revoke
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from workers.identity_news import IdentityNews, news_routes
from workers.well_known import EPOCHS_PATH, JWKS_PATH

pytestmark = pytest.mark.req("I3")

ORDER: JsonObject = {"order_id": "ORD-1001"}
READ = CallIdentity(
    tenant="acme", run_id="run-1", agent="support_refund", on_behalf_of=None, tool="orders.get_status",
    service="backoffice", scopes=("orders:read",), effect_key=None,
)  # fmt: skip


@pytest.fixture
async def store(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_app") as opened:
        yield opened


@pytest.fixture
async def dispatch(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_dispatch") as opened:
        yield opened


def issuer_at(folder: Path, name: str) -> OwnIssuer:
    (folder / name).write_text(key_set_text((new_key(1),)))
    return OwnIssuer(SigningKeys(f"file:{name}", folder, purpose="credential"))


def kids(news: IdentityNews) -> set[str]:
    return {key["kid"] for key in json.loads(news.key_set())["keys"]}


async def test_workers_with_different_keys_publish_each_others(
    store: Database, dispatch: Database, tmp_path: Path
) -> None:
    one, two = issuer_at(tmp_path, "one"), issuer_at(tmp_path, "two")
    first, second = IdentityNews(store, dispatch, one, {}), IdentityNews(store, dispatch, two, {})
    assert kids(first) == {one.keys.current(time.time()).kid}
    await first.look()
    await second.look()
    await first.look()
    assert kids(first) == kids(second) == {issuer.keys.current(time.time()).kid for issuer in (one, two)}


async def test_a_rotated_key_is_served_before_it_signs_and_a_retired_one_signs_no_more(
    store: Database, dispatch: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settings.signing_keys._LOOK_EVERY_S", 0.0)
    issuer = issuer_at(tmp_path, "key")
    news = IdentityNews(store, dispatch, issuer, {})
    await news.look()
    [old] = issuer.keys.published(time.time())
    after = rotated((old,), new_key(), now_s=int(time.time()), lead_s=3600, overlap_s=600)
    replace_in_place(tmp_path / "key", key_set_text(after))
    await news.look()
    assert kids(news) == {key.kid for key in after}
    assert issuer.keys.current(time.time()).kid == old.kid
    ready = rotated((old,), after[-1], now_s=int(time.time()), lead_s=0, overlap_s=600)
    replace_in_place(tmp_path / "key", key_set_text(ready))
    async with store.everywhere() as cursor:
        await retire_credential_key(cursor, old.kid)
    await news.look()
    assert kids(news) == {after[-1].kid}
    assert issuer.keys.current(time.time()).kid == after[-1].kid


async def test_the_addresses_serve_public_keys_and_a_signed_statement(
    store: Database, dispatch: Database, tmp_path: Path
) -> None:
    issuer = issuer_at(tmp_path, "key")
    news = IdentityNews(store, dispatch, issuer, {})
    app = Starlette(routes=news_routes(news))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as http:
        assert (await http.get(EPOCHS_PATH)).status_code == 503  # nothing was read yet, so nothing is claimed
        await news.look()
        keys = await http.get(JWKS_PATH)
        assert keys.headers["content-type"] == "application/jwk-set+json"
        assert keys.headers["cache-control"] == "public, max-age=300"
        for key in keys.json()["keys"]:
            assert set(key) == {"kty", "crv", "x", "kid", "use"}
        unchanged = await http.get(JWKS_PATH, headers={"If-None-Match": keys.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        async with store.tenant("acme") as cursor:
            epoch = await revoke(cursor, tenant="acme", scope="run", target="run-secret", by="ann", reason="x")
        await news.look()
        told = await http.get(EPOCHS_PATH)
    signed = jws.extract_compact(told.content)
    assert jws.validate_compact(signed, issuer.keys.current(time.time()).key, algorithms=["Ed25519"])
    assert signed.headers()["typ"] == "countersign-epochs+jwt"
    claims = json.loads(signed.payload or b"")
    assert list(claims["epochs"].values()) == [epoch]
    # Another tenant's service reads this too: it learns of no run and no tenant by name.
    assert "run-secret" not in json.dumps(claims)
    assert "acme" not in json.dumps(claims)


async def accepts(services: Services, issuer: OwnIssuer, epoch: int) -> bool:
    """Whether the back office takes a credential that was minted under that epoch."""
    identity = READ.model_copy(update={"epoch": epoch})
    call = CallContext(services, issuer, identity, ORDER, timeout_s=5, may_write=False, beat=lambda _note: None)
    try:
        return (await call.request("GET", "/orders/ORD-1001")).status == 200
    except Rejected as refused:
        if "revoked" not in str(refused):
            raise
        return False


async def revoked(store: Database) -> int:
    """The epoch from which on credentials of the agent hold."""
    async with store.tenant("acme") as cursor:
        return await revoke(cursor, tenant="acme", scope="agent", target="support_refund", by="ann", reason="x")


async def test_a_service_is_told_and_refuses_what_was_minted_before(
    store: Database, dispatch: Database, tmp_path: Path
) -> None:
    issuer = issuer_at(tmp_path, "key")
    jwks = tmp_path / "jwks.json"
    jwks.write_text(IdentityNews(store, dispatch, issuer, {}).key_set())
    with Server(tmp_path, str(jwks)) as backoffice:
        entry = ServiceEntry(url=backoffice.url, revocations="/countersign/epochs")
        news = IdentityNews(store, dispatch, issuer, {"backoffice": entry})
        services = Services({"backoffice": backoffice.url})
        assert await accepts(services, issuer, 0)
        epoch = await revoked(store)
        await news.look()
        await news.tell()
        assert [await accepts(services, issuer, one) for one in (epoch - 1, epoch)] == [False, True]
        await services.close()


async def test_a_service_that_is_down_is_told_later(store: Database, dispatch: Database, tmp_path: Path) -> None:
    issuer = issuer_at(tmp_path, "key")
    jwks = tmp_path / "jwks.json"
    jwks.write_text(IdentityNews(store, dispatch, issuer, {}).key_set())
    server = Server(tmp_path, str(jwks))
    entry = ServiceEntry(url=server.url, revocations="/countersign/epochs")
    news = IdentityNews(store, dispatch, issuer, {"backoffice": entry})
    epoch = await revoked(store)
    await news.look()
    await news.tell()
    services = Services({"backoffice": server.url})
    with server:
        while await accepts(services, issuer, epoch - 1):
            await news.tell()
    await services.close()
