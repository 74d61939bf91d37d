"""What changes while a run waits for people holds at the moment of execution; what changes nothing stops nothing.

In each case a refund waits for a support lead. Then something changes, the lead approves, and the gate decides afresh.
"""

import dataclasses
import shutil
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

import pytest

from activities.bundles import Bundles
from contracts.outcome import Outcome
from incidents.history import fetch_history
from incidents.story import StoryCall
from incidents.tell import tell
from policy.bundle import Bundle
from policy.cedar import Evaluation
from settings import Settings
from store.approvals import StoredRequest
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.operating import Handle, paused, soon
from tests.workflows.variants import agents_with
from workers.run_worker import open_engine, run_worker

pytestmark = pytest.mark.req("P1", "P2", "P4", "A3", "D1")
TICKET = {"ticket_id": "TIC-2006"}
REFUND = "payments.issue_refund"


@pytest.fixture
async def office(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation whose agents, ladder and overlays are files of its own."""
    ladder = shutil.copyfile(Settings().ladder_file, tmp_path / "ladder.yaml")
    (tmp_path / "overlays").mkdir()
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], agents_dir=agents_with(tmp_path),
        ladder_file=ladder, overlays_dir=tmp_path / "overlays",
    ) as made:  # fmt: skip
        yield made


def policy_of(office: Installation) -> Path:
    return office.settings.agents_dir / "support_refund" / "policy.cedar"


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def overlay(office: Installation, tenant: str, action: str) -> None:
    text = f'@id("{tenant}-stop") @reason("Not now.") forbid (principal, action == Action::"{action}", resource);'
    (office.settings.overlays_dir / f"{tenant}.cedar").write_text(text)


class Broken:
    """An engine that cannot evaluate."""

    def evaluate(self, *_: object, **__: object) -> Evaluation:
        return Evaluation(allowed=False, policies=(), errors=("the entity store is gone",))


class BrokenBundles(Bundles):
    """Current policies with that engine."""

    def current(self) -> Bundle:
        return dataclasses.replace(super().current(), engine=Broken())


def break_the_engine(office: Installation) -> None:
    settings = office.settings
    office.engine.bundles = BrokenBundles(
        office.engine.registry, settings.ladder_file, tiers_file=settings.tiers_file, overlays_dir=settings.overlays_dir
    )


RARELY = {"the agent's policy no longer parses", "the ladder no longer parses", "another version"}
"""Cases of the long tests: without a run, tests of bundles show the same."""


def often_and_rarely(cases: Iterable[str]) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.long) if name in RARELY else name for name in cases]


Change = Callable[[Installation], object]
STOPS: dict[str, tuple[Change, str, str]] = {
    "the tenant narrows its policies": (
        lambda office: overlay(office, TENANT, REFUND), "acme-stop", "Not now.",
    ),
    "the agent loses its permit": (
        lambda office: replace(policy_of(office), 'action == Action::"payments.issue_refund", resource is Order',
                               'action == Action::"tickets.set_status", resource is Ticket'),
        "", "no policy permits it",
    ),
    "the agent's policy no longer parses": (
        lambda office: policy_of(office).write_text("permit ("), "support-refund-policy-broken", "",
    ),
    "the ladder no longer parses": (
        lambda office: office.settings.ladder_file.write_text("{"), "", "the decision could not be made",
    ),
    "the engine fails": (break_the_engine, "", "the decision could not be made"),
}  # fmt: skip
"""What changes; the policy that denies, and words of the reason."""


async def waiting(office: Installation) -> tuple[Handle, StoredRequest]:
    handle = await office.start({**TICKET})
    return handle, await office.open_request(handle)


async def refund_of(office: Installation, handle: Handle) -> StoryCall:
    story = tell(await fetch_history(office.client, handle.id))
    return next(call for step in story.steps for call in step.calls if call.tool == REFUND)


@pytest.mark.parametrize("what", often_and_rarely(STOPS))
async def test_a_policy_that_narrows_or_fails_denies_what_people_approved(what: str, office: Installation) -> None:
    change, policy, words = STOPS[what]
    handle, request = await waiting(office)
    change(office)
    await office.vote(handle, request, "lena")
    report = await handle.result()
    assert report.outcome is Outcome.ESCALATED, report
    assert office.refunds() == []
    last = (await refund_of(office, handle)).visits[-1]
    assert last.decision is not None
    assert last.decision.decision.kind == "deny"
    assert words in last.message
    assert not policy or policy in [reason.policy for reason in last.decision.decision.reasons]


async def test_a_policy_that_asks_for_more_asks_again(office: Installation) -> None:
    handle, request = await waiting(office)
    replace(policy_of(office), "> 50000 }", "> 30000 }")
    await office.vote(handle, request, "lena")

    async def another() -> StoredRequest | None:
        found = await office.open_request(handle)
        return None if found.request_id == request.request_id else found

    again = await soon(another, "it asked nobody else")
    assert again.requirement.id == "two-finance"
    assert office.refunds() == []
    for person in ("fay", "finn"):
        await office.vote(handle, again, person)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    visits = (await refund_of(office, handle)).visits
    assert "the requirement changed since the approval was asked" in visits[1].message
    assert len(office.refunds()) == 1


async def test_a_policy_that_says_nothing_else_about_this_stops_nothing(office: Installation) -> None:
    handle, request = await waiting(office)
    replace(policy_of(office), "// What the refund agent may do.", "// What the agent for refunds may do.")
    overlay(office, TENANT, "payments.reverse_refund")
    overlay(office, "globex", REFUND)
    await office.vote(handle, request, "lena")
    assert (await handle.result()).outcome is Outcome.COMPLETED
    asked, granted = (visit.decision for visit in (await refund_of(office, handle)).visits)
    assert asked is not None
    assert granted is not None
    assert asked.bundle_digest != granted.bundle_digest
    assert len(office.refunds()) == 1


async def test_a_user_who_is_disabled_meanwhile_has_nothing_done(office: Installation) -> None:
    handle = await office.start({**TICKET}, on_behalf_of="fay")
    request = await office.open_request(handle)
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("update accounts set disabled = true where username = 'fay'")
    await office.vote(handle, request, "lena")
    assert (await handle.result()).outcome is Outcome.ESCALATED
    last = (await refund_of(office, handle)).visits[-1]
    assert last.decision is not None
    assert [reason.policy for reason in last.decision.decision.reasons] == ["base-disabled"]
    assert [one.allowed for one in last.decision.principals] == [True, False]
    assert office.refunds() == []


async def test_an_agent_that_is_no_longer_one_of_the_tenant_is_halted(
    office: Installation, database: DatabaseAddresses
) -> None:
    handle, request = await waiting(office)
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("update agent_states set tenant = tenant, agent = 'somebody_else', version = version + 1")
    await office.vote(handle, request, "lena")
    assert (await paused(handle)).detail.endswith("agent support_refund is disabled")
    assert office.refunds() == []
    await handle.terminate("the test is over")


NAMED = '@tool(\n    name="payments.issue_refund",\n    version='
REDEPLOYED = {
    "another version": [(f"{NAMED}1", f"{NAMED}2")],
    "other arguments": [
        (NAMED, f'class Noted(IssueRefund):\n    """With a note."""\n\n    note: str = ""\n\n\n{NAMED}'),
        ("issue_refund(args: IssueRefund,", "issue_refund(args: Noted,"),
    ],
}
"""What is written in the place of what in the tools of the agent."""


@pytest.mark.req("T1")
@pytest.mark.parametrize("what", often_and_rarely(REDEPLOYED))
async def test_another_tool_does_not_run_in_the_place_of_the_one_that_was_approved(
    what: str, tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:  # fmt: skip
    agents = agents_with(tmp_path)
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], agents_dir=agents, worker=False
    ) as office:
        async with run_worker(office.client, office.engine):
            handle, request = await waiting(office)
        for old, new in REDEPLOYED[what]:
            replace(agents / "support_refund" / "tools.py", old, new)
        async with open_engine(office.settings) as redeployed, run_worker(office.client, redeployed):
            await office.vote(handle, request, "lena")
            await handle.result()
        last = (await refund_of(office, handle)).visits[-1]
        assert last.message == f"{REFUND} is not the version that this run began with."
        assert office.refunds() == []
