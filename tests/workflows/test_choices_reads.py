"""A read of sensitive data waits for a person like a write of tier 3, and can be edited like one."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest

from contracts.base import JsonObject
from contracts.outcome import Outcome
from contracts.vote import Verdict, VoteAccepted
from incidents.history import fetch_history
from incidents.replay import Same, replay
from store.approvals import StoredRequest, find_request
from store.runs import load_transcript
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.operating import Handle, soon
from tests.workflows.test_choices import view_of, with_changes
from tests.workflows.variants import models_with
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("A5", "P11")
KEEPER = Path(__file__).parent / "agents" / "order_keeper"
TOOLS = '''

@tool(
    name="keeper.{name}", version=1, tier=Tier.READ_ONLY, effect=Effect.READ, owner="tests", timeout_s={timeout_s},
    data_class="sensitive", cacheable_s=60, resource=("Mark", lambda args: args.name),
)
async def {name}(args: Mark, _ctx: ToolContext) -> Noted:
    """Note a read of sensitive data."""
    return _note(args.name)
'''
POLICY = """
@id("order-keeper-sensitive")
@reason("The order keeper may look at sensitive marks.")
permit (principal is Agent, action in [Action::"keeper.peek", Action::"keeper.study"], resource)
when { principal.name == "order_keeper" };

@id("order-keeper-sealed")
@reason("What is sealed is looked at by nobody.")
forbid (principal, action in [Action::"keeper.peek", Action::"keeper.study"], resource)
when { principal.name == "order_keeper" && context.args.name == "sealed" };
"""
SCRIPT = """
about: Short and slow reads of sensitive data, then the end.
rules:
  - name: look
    when: {not_called: keeper.peek}
    say:
      calls:
        - {tool: keeper.peek, why: short, arguments: {name: one}}
        - {tool: keeper.study, why: slow, arguments: {name: two}}
        - {tool: keeper.peek, why: another, arguments: {name: three}}
  - name: end
    finish: {result: done, summary: "Looked."}
"""


def keeper(folder: Path) -> Path:
    """The order keeper, with a short and a slow read of sensitive data and nothing else to do."""
    root = folder / "agents"
    made = root / "order_keeper"
    shutil.copytree(KEEPER, made, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "__init__.py").write_text('"""Variants."""\n')
    with (made / "tools.py").open("a") as tools:
        tools.write(TOOLS.format(name="peek", timeout_s=5) + TOOLS.format(name="study", timeout_s=20))
    with (made / "policy.cedar").open("a") as policy:
        policy.write(POLICY)
    (made / "script.yaml").write_text(SCRIPT)
    file = made / "agent.yaml"
    file.write_text(file.read_text().replace("keeper.write]", "keeper.write, keeper.peek, keeper.study]"))
    return root


async def test_sensitive_reads_are_edited_asked_anew_and_read_as_edited(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=keeper(tmp_path), models_file=models_with(tmp_path),
    ) as installation:  # fmt: skip
        tool = installation.engine.registry.agents["order_keeper"].tools["keeper.peek"]
        notes = cast("list[str]", vars(sys.modules[tool.function.__module__])["NOTES"])
        handle = await installation.start({"ticket_id": "none"}, agent="order_keeper")
        asked = await open_requests(installation, handle, 3)
        assert sorted(asked) == ["one", "three", "two"]
        assert {view_of(request).tier for request in asked.values()} == {3}
        assert notes == [], "nothing is read before somebody agrees"
        for name, other in (("one", "uno"), ("two", "due"), ("three", "sealed")):
            changed = with_changes(asked[name], name=other)
            answer = await installation.vote(
                handle, asked[name], "lena", verdict=Verdict.EDIT, reason="Not that one", arguments=changed
            )
            assert isinstance(answer, VoteAccepted)
        anew = await open_requests(installation, handle, 2, before=asked.values())
        assert sorted(anew) == ["due", "uno"], "what policy forbids is asked of nobody"
        assert notes == []
        for request in anew.values():
            assert (Verdict.EDIT, "Lena") in {(one.verdict, one.display_name) for one in view_of(request).earlier}
            assert view_of(request).provenance["name"]["label"] == "person"
            assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
        assert (await handle.result()).outcome is Outcome.COMPLETED
        assert sorted(notes) == ["due", "uno"]
        told = await answers(installation, handle.id)
        assert [cast("JsonObject", one["edited"])["by"] for one in told] == ["Lena"] * 3
        assert ["position" in str(one["text"]) for one in told] == [True, True, False]
        assert "order-keeper-sealed" in str(told[2]["text"])
        assert isinstance(await replay(await fetch_history(installation.client, handle.id)), Same)


async def open_requests(
    installation: Installation, handle: Handle, count: int, *, before: Iterable[StoredRequest] = ()
) -> dict[str, StoredRequest]:
    """So many open requests, none of those before, by the name that each asks to read."""
    known = {request.request_id for request in before}

    async def look() -> dict[str, StoredRequest] | None:
        snapshot = await handle.query(AgentRun.snapshot)
        if len(snapshot.open_requests) != count or known & set(snapshot.open_requests):
            return None
        async with installation.db.tenant(TENANT) as cursor:
            found = [await find_request(cursor, TENANT, one) for one in snapshot.open_requests]
        return {str(view_of(request).arguments["name"]): request for request in found if request}

    return await soon(look, f"there were never {count} open requests")


async def answers(installation: Installation, run_id: str) -> list[JsonObject]:
    """What the model was told of each call, in the order of the calls."""
    rows = await load_transcript(installation.db, TENANT, run_id)
    told = [row for row in rows if row["call"] is not None]
    return [cast("JsonObject", row["content"]) for row in sorted(told, key=lambda row: cast("int", row["call"]))]
