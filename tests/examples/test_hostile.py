"""Whatever is sent, the answer is a refusal in the usual shape: never a fault, never an effect."""

import json
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server
from tests.examples.tokens import Issuer, claims_of
from tests.thorough import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = ["act", *claims_of(REFUND, "", None, "acme")]
# The server runs for all examples of a test; each example is refused, so none leaves anything for the next.
HOSTILE = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def untouched(server: Server) -> Generator[Server]:
    before = server.books()
    yield server
    after = server.books()
    assert {name: after[name] for name in after if name != "refused"} == {
        name: before[name] for name in before if name != "refused"
    }


@HOSTILE
@given(claim=st.sampled_from(CLAIMS), value=JSON)
def test_any_value_in_any_claim_is_refused(untouched: Server, issuer: Issuer, claim: str, value: object) -> None:
    # Some values are right, such as any number as an epoch: for them the order is one that does not exist.
    answer = Caller(issuer, untouched).refund({"order_id": "NO-SUCH"}, claims={claim: value})
    assert answer.status_code in {401, 403, 404}, answer.text
    assert set(answer.json()) == {"code", "message"}


@HOSTILE
@given(token=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=200))
def test_any_text_as_token_is_refused(untouched: Server, token: str) -> None:
    headers = {b"Authorization": f"Bearer x{token.strip()}".encode("latin-1")}
    answer = untouched.http.get("/orders/ORD-1001", headers=headers)
    assert answer.status_code == 401, answer.text


@HOSTILE
@given(changes=st.dictionaries(st.sampled_from([*REFUND, "ticket_id", "tenant", "destination"]), JSON, min_size=1))
def test_any_value_in_any_argument_is_refused(untouched: Server, issuer: Issuer, changes: dict[str, object]) -> None:
    body = {**REFUND, **changes, "order_id": changes.get("order_id", "NO-SUCH")}
    # The digest of what has no canonical form cannot be had, so the token is for something else.
    headers = Caller(issuer, untouched).headers("refunds:write", REFUND, new_key())
    answer = untouched.http.post("/refunds", content=json.dumps(body), headers=headers)
    assert answer.status_code in {403, 404, 422}, answer.text
    assert set(answer.json()) == {"code", "message"}
