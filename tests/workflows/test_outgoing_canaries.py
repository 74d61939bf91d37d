"""Planted canaries: whatever a model puts into a reply, none of it reaches the books of the system of record."""

import asyncio
import base64
import json
import re
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.audit import ModelReplied
from contracts.outcome import Outcome
from settings import Settings
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.workflows.variants import agents_with

pytestmark = pytest.mark.req("P6")

OWN, FOREIGN = "DE89370400440532013000", "ES9121000418450200051332"
CARD = "5555555555554444"
KEY = "ghp_" + "a1B2c3D4e" * 4
PLANTED = {
    "another customer's account": FOREIGN,
    "the same with spaces": " ".join(FOREIGN[i : i + 4] for i in range(0, 24, 4)),
    "in full width": "".join(chr(ord(c) + 0xFEE0) for c in FOREIGN),
    "with invisible characters": "\u200b".join(FOREIGN),
    "in base64": base64.b64encode(FOREIGN.encode()).decode(),
    "a card": CARD,
    "a card with dots": "5555.5555.5555.4444",
}
SECRETS = {
    "a key": KEY,
    "a key in base64": base64.b64encode(KEY.encode()).decode(),
    "a password": "the password is Tr0ub4dor&3xyz",
    "an address": "postgresql://app:hunter2@db.internal/app",
}
TICKET = "{event.data.ticket_id}"
READ = {"tool": "crm.read_ticket", "why": "To see.", "arguments": {"ticket_id": TICKET}}
TOLD = {"ticket_id": TICKET, "text": "{event.data.mark}: it is {event.data.planted}, see"}
DRAFT = {"tool": "tickets.reply_draft", "why": "As asked.", "arguments": TOLD}
END = {"result": "hand_over", "summary": "Told {event.data.planted}.", "needed": "{event.data.planted}"}
SCRIPT: dict[str, Any] = {
    "rules": [
        {"name": "read", "when": {"not_called": "crm.read_ticket"}, "say": {"calls": [READ]}},
        {"name": "draft", "when": {"not_called": "tickets.reply_draft"}, "say": {"calls": [DRAFT]}},
        {"name": "end", "finish": END},
    ]
}


@pytest.fixture
async def scripted(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    agents = agents_with(tmp_path, SCRIPT)
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], agents_dir=agents
    ) as made:
        yield made


async def drafted(installation: Installation, planted: str) -> tuple[str, str]:
    """What the books hold of the draft, and the run's report."""
    mark = uuid.uuid4().hex[:8]
    handle = await installation.start({"ticket_id": "TIC-2001", "planted": planted, "mark": f"case {mark}"})
    report = await handle.result()
    assert report.outcome is Outcome.ESCALATED
    texts = [str(draft["text"]) for draft in installation.backoffice.books(TENANT)["drafts"]]
    return "".join(text for text in texts if mark in text), report.model_dump_json()


async def test_personal_data_of_others_never_reaches_the_books(scripted: Installation) -> None:
    found = await asyncio.gather(*(drafted(scripted, planted) for planted in PLANTED.values()))
    for (name, planted), (draft, report) in zip(PLANTED.items(), found, strict=True):
        assert planted not in draft, name
        assert planted not in report, name
        assert "removed by output rules" in draft, name
        assert draft.endswith(", see"), name
    books = json.dumps(scripted.backoffice.books(TENANT)["drafts"])
    assert FOREIGN not in books
    assert CARD not in books


async def test_a_secret_is_blocked_and_the_run_says_so(scripted: Installation) -> None:
    found = await asyncio.gather(*(drafted(scripted, planted) for planted in SECRETS.values()))
    for (name, planted), (draft, report) in zip(SECRETS.items(), found, strict=True):
        assert draft == "", name
        assert planted not in report, name
        assert "base-outgoing-block" in report, name


async def test_the_customers_own_address_may_be_told(scripted: Installation) -> None:
    draft, _ = await drafted(scripted, "maren.lindqvist@example.org")
    assert draft.endswith(": it is maren.lindqvist@example.org, see")


async def test_what_was_replaced_stands_in_history_and_audit_and_the_value_nowhere(scripted: Installation) -> None:
    handle = await scripted.start({"ticket_id": "TIC-2001", "planted": CARD, "mark": "here"})
    await handle.result()
    async with scripted.db.tenant(TENANT) as cursor:
        await cursor.execute("select body from audit where run_id = %s order by seq", (handle.id,))
        bodies = [str(row["body"]) for row in await cursor.fetchall()]
        await cursor.execute("select content from messages where run_id = %s and seq > 2 order by seq", (handle.id,))
        messages = "".join(str(row["content"]) for row in await cursor.fetchall())
    assert CARD not in "".join(bodies)
    assert CARD not in messages
    replaced = [
        item for body in bodies if '"redactions"' in body for item in ModelReplied.model_validate_json(body).redactions
    ]
    assert [(item.path, item.kind.value) for item in replaced] == [
        ("text", "payment_card"), ("summary", "payment_card"), ("needed", "payment_card"),
    ]  # fmt: skip
    history = (await handle.fetch_history()).to_json()
    assert '"redactions"' in base64_parts(history)


def base64_parts(history: str) -> str:
    """The payloads of a history, decoded."""
    return "\n".join(
        base64.b64decode(data).decode(errors="replace") for data in re.findall(r'"data":\s*"([^"]+)"', history)
    )


async def test_rules_that_cannot_be_read_let_nothing_out(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    rules = tmp_path / "rules.yaml"
    rules.write_text(Settings().output_rules_file.read_text())
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, SCRIPT), output_rules_file=rules,
    ) as installation:  # fmt: skip
        rules.write_text("rules: [{classes: [iban], action: shout}]\n")
        draft, report = await drafted(installation, "nothing of interest")
        assert draft == ""
        assert "base-outgoing-block" in report
        assert "withheld" in report
        rules.write_text("rules: []\n")
        draft, _ = await drafted(installation, "now it may go")
        assert draft.endswith(": it is now it may go, see")


async def test_an_agents_own_rules_come_before_the_organisations(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    own = yaml.safe_load(
        "[{classes: [iban], action: block, tools: [tickets.reply_draft]}, {classes: [secret], action: allow}]"
    )
    agents = agents_with(tmp_path, SCRIPT, output_rules=own)
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], agents_dir=agents
    ) as installation:
        draft, report = await drafted(installation, FOREIGN)
        assert draft == ""
        assert "base-outgoing-block" in report
        draft, report = await drafted(installation, KEY)
        assert draft == "", "the organisation's final rule holds against it"
