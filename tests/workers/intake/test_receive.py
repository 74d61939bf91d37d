"""Deliveries to a real intake process over a real Postgres."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contracts.canonical import run_id_for
from contracts.event import AcceptedEvent
from tests.wire import AMBIGUOUS, Door
from tests.workers.intake.sending import (
    ENDPOINT,
    FOREIGN_SECRET,
    OLD_SECRET,
    STRUCTURED,
    body_of,
    event,
    headers_for,
)
from tests.workers.intake.server import Intake

LIMIT_BYTES = 65_536


def stored(intake: Intake, event_id: str, source: str = "/helpdesk/acme") -> list[dict[str, Any]]:
    return [row for row in intake.rows() if row["event_id"] == f"{source}#{event_id}"]


def alarms(intake: Intake, event_id: str) -> list[dict[str, Any]]:
    return [row for row in intake.rows("select * from alarms") if row["subject"].endswith(f"#{event_id}")]


@pytest.mark.req("E1", "E2")
def test_accepted_event_is_stored_before_the_answer(intake: Intake) -> None:
    answer = intake.send(event("first"))
    assert answer.status_code == 202
    run_id = run_id_for("acme", ENDPOINT, "/helpdesk/acme#first")
    assert answer.json() == {"run_id": run_id, "status": "accepted"}
    (row,) = stored(intake, "first")
    assert (row["tenant"], row["agent"], row["run_id"]) == ("acme", "support_refund", run_id)
    kept = AcceptedEvent.model_validate_json(row["event"])
    assert kept.trusted == ("ticket_id",)
    assert kept.body_digest == row["body_digest"]
    assert json.loads(row["event"])["data"] == {"ticket_id": "TCK-2001"}


@pytest.mark.req("E2")
async def test_hundred_duplicates_at_once_are_one_event(intake: Intake) -> None:
    body = body_of(event("burst"))
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=100)) as client:

        async def deliver(number: int) -> httpx.Response:
            headers = headers_for(body, f"msg-{number}")
            return await client.post(f"{intake.url}/events/{ENDPOINT}", content=body, headers=headers)

        answers = await asyncio.gather(*(deliver(number) for number in range(100)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 200: 99}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(stored(intake, "burst")) == 1


@pytest.mark.req("E2")
def test_same_event_written_otherwise_is_a_duplicate(intake: Intake) -> None:
    first = intake.send(event("again"))
    other = dict(reversed(list(event("again", time="2026-11-20T10:30:00+01:00", traceparent="00-aa").items())))
    body = json.dumps(other, indent=4).encode()
    second = intake.post(body, headers_for(body, "another-delivery", secret=OLD_SECRET))
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {"run_id": first.json()["run_id"], "status": "duplicate"}


@pytest.mark.req("E1")
def test_binary_mode_is_the_same_event(intake: Intake) -> None:
    first = intake.send(event("modes"))
    body = body_of(event()["data"])
    headers = headers_for(
        body,
        "modes",
        content_type="application/json",
        ce_specversion="1.0",
        ce_id="modes",
        ce_source="/helpdesk/acme",
        ce_type="ticket.created",
        ce_time="2026-11-20T09:30:00Z",
    )
    second = intake.post(body, headers)
    assert (second.status_code, second.json()["run_id"]) == (200, first.json()["run_id"])
    # ce- headers are not signed: a captured body must not start a second run under another id.
    third = intake.post(body, {**headers, "ce-id": "modes-2"})
    assert (third.status_code, third.json()["code"]) == (422, "id_mismatch")


@pytest.mark.req("E2")
def test_other_body_under_the_same_id_is_refused_and_alarmed(intake: Intake) -> None:
    first = intake.send(event("contested"))
    for _ in range(12):
        second = intake.send(event("contested", data={"ticket_id": "TCK-9999"}))
        assert (second.status_code, second.json()["code"]) == (409, "event_conflict")
        assert first.json()["run_id"] in second.json()["message"]
    (row,) = stored(intake, "contested")
    assert "TCK-9999" not in row["event"]
    found = alarms(intake, "contested")
    assert {(row["tenant"], row["kind"]) for row in found} == {("acme", "event_conflict")}
    assert len(found) == 10, "a sender that repeats itself must not fill the table"


@pytest.mark.req("E3")
def test_tenant_is_the_endpoints_whatever_the_event_says(intake: Intake) -> None:
    answer = intake.send(event("claims", tenant="globex", data={"ticket_id": "T-1", "tenant": "globex", "agent": "x"}))
    assert answer.status_code == 202
    (row,) = stored(intake, "claims")
    assert (row["tenant"], row["agent"]) == ("acme", "support_refund")
    # The same source and id at another tenant's endpoint is another event.
    elsewhere = intake.send(event("claims", data={"kind": "refund", "user": "ana"}), "globex-tickets")
    assert elsewhere.status_code == 202
    assert elsewhere.json()["run_id"] != answer.json()["run_id"]
    assert {row["tenant"]: row["on_behalf_of"] for row in stored(intake, "claims")} == {"acme": None, "globex": "ana"}


def chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 8_192):
        yield body[start : start + 8_192]


@pytest.mark.parametrize("chunked", [False, True])
def test_oversize_is_refused_before_it_is_verified(intake: Intake, *, chunked: bool) -> None:
    body = body_of(event("huge", data={"text": "x" * (4 * LIMIT_BYTES)}))
    url = f"{intake.url}/events/{ENDPOINT}"
    answer = httpx.post(url, content=chunks(body) if chunked else body, headers={"content-type": STRUCTURED})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert stored(intake, "huge") == []


def test_largest_body_is_read(intake: Intake) -> None:
    empty = len(body_of(event("largest", data={"text": ""})))
    body = body_of(event("largest", data={"text": "x" * (LIMIT_BYTES - empty)}))
    assert len(body) == LIMIT_BYTES
    assert intake.post(body).status_code == 202


@pytest.mark.req("E1")
def test_every_bad_signature_gets_the_same_answer(intake: Intake) -> None:
    body = body_of(event("forged"))
    good = headers_for(body)
    forged = [
        {"content-type": STRUCTURED},
        headers_for(body, secret=FOREIGN_SECRET),
        headers_for(body, age_s=320),
        headers_for(body, age_s=-600),
        headers_for(body + b" "),
        {**good, "webhook-id": "msg-2"},
        {**good, "webhook-timestamp": "nan"},
        {**good, "webhook-timestamp": "9" * 300},
        {**good, "webhook-signature": "v1"},
        {**good, "webhook-signature": "v1,a,b"},
        {**good, "webhook-signature": "v1,not base64"},
        {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v1a,")},
        {**good, "webhook-signature": ("v1,AAAA " * 500).strip()},
    ]
    answers = [intake.post(body, headers) for headers in forged]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert stored(intake, "forged") == []


def test_repeated_headers_are_refused(intake: Intake) -> None:
    body = body_of(event("twice"))
    url = f"{intake.url}/events/{ENDPOINT}"
    signed = list(headers_for(body).items())
    assert httpx.post(url, content=body, headers=[*signed, ("webhook-id", "msg-2")]).status_code == 401
    answer = httpx.post(url, content=body, headers=[*signed, ("content-type", "application/json")])
    assert (answer.status_code, answer.json()["code"]) == (400, "header_repeated")


HOSTILE: list[tuple[str, bytes, int]] = [
    ("deep lists", b'{"id":' + b"[" * 30_000, 400),
    ("deep objects", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
    ("depth beyond ours alone", body_of(event("hostile", data={"a": json.loads("[" * 40 + "]" * 40)})), 400),
    ("NaN", body_of(event("hostile", data={"a": float("nan")})), 400),
    ("infinity by exponent", body_of(event("hostile")).replace(b'"TCK-2001"', b"1e999"), 400),
    ("long integer", body_of(event("hostile")).replace(b'"TCK-2001"', b"9" * 20_000), 400),
    ("integer beyond canonical JSON", body_of(event("hostile", data={"a": 2**53})), 400),
    ("NUL", body_of(event("hostile", data={"a": "x\x00y"})), 400),
    ("NUL in a key", body_of(event("hostile", data={"x\x00": 1})), 400),
    ("half a surrogate pair", body_of(event("hostile", data={"a": "\ud800"})), 400),
    ("a key twice", b'{"id":"hostile",' + body_of(event("hostile"))[1:], 400),
    ("a key twice, far down", body_of(event("hostile")).replace(b'"ticket_id"', b'"ticket_id":"A","ticket_id"'), 400),
    ("too many values", body_of(event("hostile", data={"a": [0] * 10_001})), 400),
    ("not UTF-8", body_of(event("hostile")).replace(b"TCK", b"\xff\xfe"), 401),
    ("empty", b"", 400),
    ("a list", b"[]", 422),
    ("a string", b'"event"', 422),
    ("no id", body_of({k: v for k, v in event().items() if k != "id"}), 422),
    ("empty id", body_of(event("")), 422),
    ("null id", body_of(event("hostile", id=None)), 422),
    ("number as id", body_of(event("hostile", id=7)), 422),
    ("id with a line break", body_of(event("a\nb")), 422),
    ("long id", body_of(event("x" * 101)), 422),
    ("no specversion", body_of({k: v for k, v in event("hostile").items() if k != "specversion"}), 422),
    ("old specversion", body_of(event("hostile", specversion="0.3")), 422),
    ("time without zone", body_of(event("hostile", time="2026-11-20T09:30:00")), 422),
    ("time out of range", body_of(event("hostile", time="0001-01-01T00:00:00+14:00")), 422),
    ("number as time", body_of(event("hostile", time=5)), 422),
    ("no data", body_of({k: v for k, v in event("hostile").items() if k != "data"}), 422),
    ("text as data", body_of(event("hostile", data="text")), 422),
    ("base64 data", body_of({**event("hostile"), "data_base64": "e30="}), 422),
    ("XML data", body_of(event("hostile", datacontenttype="application/xml")), 422),
    ("dotted field", body_of(event("hostile", data={"ticket_id.x": "TCK-1"})), 422),
    ("object in a trusted field", body_of(event("hostile", data={"ticket_id": {"a": 1}})), 422),
    ("other source", body_of(event("hostile", source="/helpdesk/globex")), 422),
    ("source that is close", body_of(event("hostile", source="/helpdesk/acme/")), 422),
    ("other type", body_of(event("hostile", type="ticket.deleted")), 422),
    ("long subject", body_of(event("hostile", subject="s" * 501)), 422),
    ("control character in the subject", body_of(event("hostile", subject="a\x1b[2Jb")), 422),
    ("wild attribute name", body_of(event("hostile", **{"Ticket-Id": "x"})), 422),
    ("object as attribute", body_of(event("hostile", extra={"a": 1})), 422),
    ("many attributes", body_of(event("hostile", **{f"a{number}": 1 for number in range(100)})), 422),
]


@pytest.mark.req("E3")
@pytest.mark.parametrize(("body", "status"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_hostile_bodies_are_refused_in_one_line(intake: Intake, body: bytes, status: int) -> None:
    before = len(intake.rows())
    answer = intake.post(body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"code", "message"}
    assert "\n" not in answer.json()["message"]
    assert "Traceback" not in answer.text
    assert len(intake.rows()) == before


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json", "application/cloudevents-batch+json", "application/cloudevents+avro"],
)
def test_other_media_types_are_refused(intake: Intake, content_type: str) -> None:
    body = body_of(event("media"))
    answer = intake.post(body, headers_for(body, content_type=content_type))
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")


def test_compressed_and_other_charsets_are_refused(intake: Intake) -> None:
    body = body_of(event("media"))
    for more in ({"content-encoding": "gzip"}, {"content-type": f"{STRUCTURED}; charset=utf-16"}):
        assert intake.post(body, {**headers_for(body), **more}).status_code == 415


def test_structured_only_endpoint_takes_no_binary(intake: Intake) -> None:
    body = body_of({"kind": "refund", "user": "ana"})
    headers = headers_for(
        body, "b-1", content_type="application/json", ce_specversion="1.0", ce_id="b-1",
        ce_source="/helpdesk/globex", ce_type="ticket.created",
    )  # fmt: skip
    answer = intake.post(body, headers, "globex-tickets")
    assert (answer.status_code, answer.json()["code"]) == (415, "mode_unsupported")


@pytest.mark.parametrize("user", [None, 7, "", "no spaces allowed", "x" * 200])
def test_user_must_be_named_where_the_endpoint_asks_for_one(intake: Intake, user: object) -> None:
    value = event("user", data={"kind": "refund", "user": user})
    assert intake.send(value, "globex-tickets").status_code == 422


@pytest.mark.req("E3")
@pytest.mark.parametrize("path", [f"/events/{ENDPOINT}", "/healthz"])
@pytest.mark.parametrize("what", AMBIGUOUS)
def test_nothing_behind_a_delivery_with_two_readings_is_read(intake: Intake, what: str, path: str) -> None:
    door = Door(intake.port, path)
    assert [status for status in door.statuses(AMBIGUOUS[what](door)) if not status.startswith("4")] == []


def test_unknown_endpoint_is_answered_before_anything_else(intake: Intake) -> None:
    answer = intake.post(b"x" * 1_000, {"content-type": "text/plain"}, "no-such")
    assert (answer.status_code, answer.json()["code"]) == (404, "endpoint_unknown")
    assert httpx.get(f"{intake.url}/events/{ENDPOINT}").status_code == 405
    assert httpx.get(f"{intake.url}/nothing").json()["code"] == "not_found"


def test_openapi_document_is_served(intake: Intake) -> None:
    document = httpx.get(f"{intake.url}/openapi.json").json()
    operation = document["paths"]["/events/{endpoint}"]["post"]
    assert {"200", "202", "401", "404", "409", "413", "422", "429", "503"} <= set(operation["responses"])
    assert STRUCTURED in operation["requestBody"]["content"]
    named = {parameter["name"] for parameter in operation["parameters"]}
    assert {"endpoint", "webhook-id", "webhook-timestamp", "webhook-signature"} <= named


def test_ready_while_temporal_is_down_and_says_so(intake: Intake) -> None:
    intake.send(event("waiting"))
    answer = httpx.get(f"{intake.url}/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
