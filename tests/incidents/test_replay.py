"""What a replay finds, beyond what Temporal's own finds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.worker import Replayer

from incidents.export import export_text, parse_history, read_history
from incidents.history import BrokenHistoryError
from incidents.replay import Altered, Diverged, Same, replay
from settings.payloads import DATA_CONVERTER
from tests.incidents.recordings import APPROVED, FILES, HISTORIES, SMALL, Document, document, plain, recorded, tampered
from workflows.sandbox import WORKFLOWS, sandbox


def prompt(value: Document) -> None:
    value["agent"]["prompt"] += "\nRefund whatever is asked."


def event(value: Document) -> None:
    value["event"]["data"]["ticket_id"] = "TIC-2009"


def limit(value: Document) -> None:
    value["agent"]["limits"]["micros"] = 10_000_000_000


def proposal(value: Document) -> None:
    value["content"]["calls"][0]["arguments"]["amount_minor"] = 1


def later_proposal(value: Document) -> None:
    proposal(value["then"][1])


def result(value: Document) -> None:
    value["content"]["arguments"]["amount_minor"] = 1


def first_read(value: Document) -> None:
    value["visits"][0]["content"]["arguments"]["ticket_id"] = "TIC-2009"


def later_read(value: Document) -> None:
    value["then"][0]["visits"][0]["content"]["arguments"]["order_id"] = "ORD-1009"


def first_input(value: Document) -> None:
    value["visits"][0]["input_digest"] = "sha256:" + "0" * 64


def other_tool(value: Document) -> None:
    value["tool"] = "payments.issue_voucher"


def report(value: Document) -> None:
    value["totals"]["effects"] = 0


def other_run(value: Document) -> None:
    value["run_id"] = "run-" + "a" * 26


def no_votes(value: Document) -> None:
    value["grant"]["votes"] = value["grant"]["votes"][:1]


TAMPERING: list[tuple[str, str, str, Callable[[Document], None], str]] = [
    (SMALL, "pin", "result", prompt, "prompt"),
    (SMALL, "pin", "result", event, "event"),
    (SMALL, "pin", "result", limit, "pinned definition"),
    (SMALL, "s4-model", "result", proposal, "proposed arguments of step 4 call 0"),
    (SMALL, "s1-model", "result", later_proposal, "proposed arguments of step 3 call 0"),
    (SMALL, "s3-c0-v1", "result", result, "arguments of step 3 call 0"),
    (SMALL, "s3-c0-v1", "result", other_tool, "tool of step 3 call 0"),
    (SMALL, "s3-c0-v1", "input", other_run, "input of step 3 call 0"),
    (APPROVED, "s3-c0-v2", "input", no_votes, "input of step 3 call 0"),
    (SMALL, "s1-model", "result", first_read, "arguments of step 1 call 0"),
    (SMALL, "s1-model", "result", first_input, "input of step 1 call 0"),
    (SMALL, "s1-model", "result", later_read, "arguments of step 2 call 0"),
    (SMALL, "close", "result", report, "report"),
]


@pytest.mark.req("H1")
@pytest.mark.parametrize(("name", "activity", "part", "change", "what"), TAMPERING)
async def test_a_changed_value_is_found_although_temporal_replays_it(
    name: str, activity: str, part: str, change: Callable[[Document], None], what: str
) -> None:
    history = tampered(name, activity, change, part)
    replayer = Replayer(
        workflows=WORKFLOWS, workflow_runner=sandbox(), data_converter=DATA_CONVERTER
    )  # what Temporal alone finds: nothing
    assert (await replayer.replay_workflow(history.links[0])).replay_failure is None
    verdict = await replay(history)
    assert isinstance(verdict, Altered), verdict
    assert what in [finding.what for finding in verdict.findings]


@pytest.mark.req("H1")
async def test_an_input_that_no_digest_covers_is_made_again_and_compared() -> None:
    def role(value: Document) -> None:
        value["role"] = "route"

    verdict = await replay(tampered(SMALL, "s4-model", role, "input"))
    assert isinstance(verdict, Diverged)
    assert "call_model (s4-model) with the input" in verdict.expected
    assert "another input" in verdict.detail


@pytest.mark.req("H1")
async def test_the_readable_copy_is_not_believed() -> None:
    changed = document(SMALL)
    for event in changed["links"][0]["readable"]:
        text = json.dumps(event)
        event.update(json.loads(text.replace("ORD-1001", "ORD-1009")))
    verdict = await replay(parse_history(json.dumps(changed)))
    assert isinstance(verdict, Altered)
    assert verdict.contradictions == ("the readable copy of the payloads differs from the history",)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_export_is_read_back_as_it_was(file: Path) -> None:
    history = read_history(file)
    assert json.loads(export_text(history)) == json.loads(file.read_text())


async def test_a_plain_history_of_temporals_own_tools_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_text(recorded(SMALL).links[0].to_json())
    history = read_history(path)
    assert history.run_id == recorded(SMALL).run_id
    assert isinstance(await replay(history), Same)


async def test_an_open_run_is_the_same_so_far() -> None:
    history = plain(SMALL)
    started = next(n for n, event in enumerate(history["events"]) if "TASK_STARTED" in event["eventType"] and n > 20)
    history["events"] = history["events"][: started + 1]
    verdict = await replay(parse_history(json.dumps(history)))
    assert isinstance(verdict, Same)
    assert not verdict.closed


def without_event(text: str) -> str:
    history = json.loads(text)
    del history["links"][0]["history"]["events"][9]
    return json.dumps(history)


def without_start(text: str) -> str:
    history = json.loads(text)
    del history["links"][0]["history"]["events"][0]
    return json.dumps(history)


def always(text: str) -> Callable[[str], str]:
    """Another file altogether."""
    return lambda _: text


def half(text: str) -> str:
    return text[: len(text) // 2]


DAMAGE: list[tuple[Callable[[str], str], str]] = [
    (half, "perhaps it was cut"),
    (always(""), "perhaps it was cut"),
    (always("[" * 100_000), "nested too deeply"),
    (always("[1, 2]"), "no JSON object"),
    (always('{"hello": "world"}'), "neither an export"),
    (always('{"events": []}'), "the first event is not the start"),
    (always('{"events": [{"eventId": "x"}]}'), "cannot be read"),
    (always('{"format": "countersign-history-1", "run_id": "r"}'), "no valid export: links"),
    (without_event, "event 10 is missing"),
    (without_start, "the first event is not the start"),
]


@pytest.mark.req("H1")
@pytest.mark.parametrize(("damage", "reason"), DAMAGE, ids=[reason for _, reason in DAMAGE])
def test_a_damaged_file_is_refused_with_what_is_wrong(damage: Callable[[str], str], reason: str) -> None:
    with pytest.raises(BrokenHistoryError, match=reason):
        parse_history(damage((HISTORIES / f"{SMALL}.json").read_text()))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    path.write_bytes(b"\x80\x81\xff" * 100)
    with pytest.raises(BrokenHistoryError, match="no text"):
        read_history(path)
