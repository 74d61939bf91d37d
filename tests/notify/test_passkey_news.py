"""Whoever's passkeys change is told through the channels that are theirs, once, and again only what was not taken."""

import json
from pathlib import Path

import pytest

from activities.notify import Notifier, tell_of_passkeys
from settings.notify import NotifyFile
from store.database import Database
from store.passkeys import NewPasskey, add_passkey, note_event, remove_passkey
from tests.conftest import DatabaseAddresses
from tests.notify.receivers import receiving

pytestmark = pytest.mark.req("A4", "A8")
KEY = NewPasskey(
    credential_id=b"id", public_key=b"key", rp_id="localhost", aaguid="", synced=False, sign_count=0
)  # fmt: skip


async def test_a_change_is_told_to_its_owner_alone(database: DatabaseAddresses, tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    with receiving() as hooks:
        channel = {"kind": "webhook", "url": hooks.url, "secret": "file:hook"}
        channels = (
            {"name": "freds", "people": ["Fred"], **channel},
            {"name": "everybody", **channel},
            {"name": "lenas", "people": ["lena"], **channel},
            {"name": "quiet", "people": ["fred"], "notices": ["expired"], **channel},
        )
        file = NotifyFile.model_validate({"tenants": {"acme": channels}})
        notifier = Notifier(file, folder=tmp_path, web_url="https://countersign.example.com")
        async with Database(database.url, role="countersign_app") as db:
            async with db.tenant("acme") as cursor:
                added = await add_passkey(cursor, "acme", "fred", "work phone", KEY)
                await note_event(cursor, "acme", "fred", "refuse", by="fred", detail="not news")
            assert added is not None
            hooks.status = 503
            assert await tell_of_passkeys(notifier, db, "acme") == 0
            hooks.status = 200
            assert await tell_of_passkeys(notifier, db, "acme") == 1
            assert await tell_of_passkeys(notifier, db, "acme") == 0
            async with db.tenant("acme") as cursor:
                await remove_passkey(cursor, "acme", "fred", added.passkey_id, by="fred", reason="by its owner")
            assert await tell_of_passkeys(notifier, db, "acme") == 1
    failed, first, second = [json.loads(body) for _, body in hooks.requests]
    assert failed == first
    assert first["type"] == "account.passkeys"
    assert "added to the account fred" in first["data"]["sentence"]
    assert "removed from the account fred" in second["data"]["sentence"]
    assert first["data"]["link"] == "https://countersign.example.com/passkeys"
    assert "work phone" not in json.dumps([first, second])
