"""Whatever a stranger sends: an answer of ours, nothing stored that was not asked for, no crash."""

import contextlib
import json
import random
import time

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.canonical import canonical_bytes
from settings.endpoints import Endpoint, Route
from store.inbox import Arrival
from tests.thorough import examples
from tests.workers.intake.sending import ENDPOINT, SECRET, STRUCTURED, body_of, event, headers_for
from tests.workers.intake.server import Intake
from workers.intake.answers import Refusal
from workers.intake.cloud_events import ReceivedEvent, read_event
from workers.intake.routing import route
from workers.intake.signature import SIGNED_HEADERS, is_signed
from workers.intake.strict_json import BadJsonError, read_json

FAST = settings(
    max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
CONFIGURED = Endpoint(
    tenant="acme",
    sources=("/helpdesk/acme",),
    routes=(Route(when={"type": ("ticket.created",)}, agent="support_refund"),),
    trusted=("ticket_id",),
    binary=True,
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
attribute_names = st.sampled_from(
    ["id", "source", "type", "specversion", "subject", "time", "data", "datacontenttype", "dataschema", "tenant", "x"]
)
plausible = st.sampled_from(
    [
        "1.0",
        "/helpdesk/acme",
        "ticket.created",
        "evt-1",
        "2026-11-20T09:30:00Z",
        "2026-W01",
        "24:00",
        "application/json",
    ]
)
changes = st.dictionaries(attribute_names | st.text(min_size=1, max_size=6), values | plausible, max_size=5)


def judged(headers: dict[str, str], body: bytes) -> Arrival | Refusal:
    received = read_event(headers, body)
    if isinstance(received, Refusal):
        return received
    return route(ENDPOINT, CONFIGURED, received, headers.get("webhook-id", ""))


def check(answer: Arrival | Refusal) -> None:
    if isinstance(answer, Refusal):
        assert 400 <= answer.status < 500
        assert answer.problem.message.isprintable(), answer.problem.message
        return
    assert (answer.tenant, answer.agent, answer.event.trusted) == ("acme", "support_refund", ("ticket_id",))
    assert b"\\u0000" not in canonical_bytes(answer.event)
    assert answer.event.body_digest.startswith("sha256:")


@FAST
@given(changes)
@example({"time": "0001-01-01T00:00:00+23:59"})
@example({"id": "e\u202e1"})
@example({"specversion": ["1.0"]})
@example({"data": {"constructor": {"__proto__": []}}})
def test_any_event_is_routed_as_configured_or_refused(changed: dict[str, object]) -> None:
    check(judged({"content-type": STRUCTURED}, body_of({**event(), **changed})))


@FAST
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":1e99999}')
@example(b'{"a":-0.0, "b":' + b"9" * 5_000 + b"}")
@example(b'"\\ud800"')
@example(b"[" * 100_000)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadJsonError):
        value = read_json(body)
        assert read_json(canonical_bytes(value)) == value, "what is accepted survives its canonical form"
    check(judged({"content-type": STRUCTURED}, body))


@FAST
@given(st.dictionaries(st.sampled_from(SIGNED_HEADERS), st.text(max_size=60)), st.binary(max_size=60))
@example({"webhook-signature": "v1,AAAA v1", "webhook-id": "\u00ff", "webhook-timestamp": "inf"}, b"")
def test_no_invented_signature_is_taken(headers: dict[str, str], body: bytes) -> None:
    assert not is_signed(headers, body, [SECRET])
    now = {**headers, "webhook-timestamp": str(int(time.time()))}
    assert not is_signed(now, body, [SECRET])


@FAST
@given(
    st.dictionaries(
        st.sampled_from(["ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-subject", "ce-x", "ce-"]),
        st.text(st.characters(codec="latin-1"), max_size=40) | plausible,
    ),
    values,
)
@example({"ce-id": "%00"}, {})
@example({"ce-time": "%ff"}, {})
def test_any_binary_headers_are_routed_as_configured_or_refused(attributes: dict[str, str], data: object) -> None:
    honest = {"ce-id": "b", "ce-source": "/helpdesk/acme", "ce-type": "ticket.created", "ce-specversion": "1.0"}
    headers = {**honest, **attributes, "content-type": "application/json", "webhook-id": "b"}
    answer = judged(headers, body_of(data))
    check(answer)
    if isinstance(answer, Arrival):
        assert answer.event.id == "b"


@FAST
@given(st.dictionaries(st.text(st.sampled_from("abc_"), min_size=1, max_size=4), scalars, max_size=5), st.randoms())
def test_order_and_spacing_of_an_event_never_change_its_digest(data: dict[str, object], chance: random.Random) -> None:
    whole = event(data=data)
    shuffled = dict(chance.sample(list(whole.items()), len(whole)))
    first = read_event({"content-type": STRUCTURED}, body_of(whole))
    second = read_event({"content-type": f"{STRUCTURED}; charset=UTF-8"}, json.dumps(shuffled, indent=3).encode())
    if isinstance(first, ReceivedEvent):
        assert isinstance(second, ReceivedEvent)
        assert first.event.body_digest == second.event.body_digest


@pytest.mark.req("E3")
def test_two_hundred_mutations_of_a_delivery_against_the_real_server(intake: Intake) -> None:
    chance = random.Random(20261120)
    seen: set[int] = set()
    with httpx.Client(timeout=30) as client:
        for number in range(200):
            body = bytearray(body_of(event(f"mutant-{number}", subject="s" * 20)))
            for _ in range(chance.randint(0, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            headers = headers_for(bytes(body))
            if number % 4 == 0:
                name = chance.choice(list(headers))
                headers[name] = "".join(chance.choice("v1,=Az0 ./+-") for _ in range(chance.randint(0, 60))).strip()
            answer = client.post(f"{intake.url}/events/{ENDPOINT}", content=bytes(body), headers=headers)
            assert answer.status_code in {200, 202, 400, 401, 409, 415, 422}, answer.text
            seen.add(answer.status_code)
    assert {202, 400, 401} <= seen
    rows = intake.rows("select tenant, agent from inbox")
    assert {(row["tenant"], row["agent"]) for row in rows} == {("acme", "support_refund")}
    assert "Traceback" not in intake.log.read_text()
