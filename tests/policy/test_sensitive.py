"""What the detectors find and what they leave alone, however it is written; and how long a search may take."""

import base64
import random
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn

from contracts.outgoing import OutputRules, Sensitive
from policy.sensitive import MAX_CHARACTERS, Detectors, TextTooLong
from tests.thorough import examples

pytestmark = pytest.mark.req("P6")

IBAN = "DE89370400440532013000"
CARD = "4111111111111111"
KEY = "sk-ant-api03-" + "Zq7x" * 8
DETECTORS = Detectors(
    OutputRules(
        phone_regions=("DE",),
        national_ids=("de.idnr", "fr.nir", "it.codicefiscale", "us.ssn"),
        filtered=("project bluebird",),
        rules=(),
    )
)


def kinds(text: str) -> set[str]:
    return {span.kind.value for span in DETECTORS.spans(text)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Pay DE89 3704 0044 0532 0130 00, please", "iban"),
        ("iban:de89-3704-0044-0532-0130-00", "iban"),
        ("xDE89370400440532013000x", "iban"),
        ("FR14 2004 1010 0505 0001 3M02 606", "iban"),
        ("4111 1111 1111 1111", "payment_card"),
        ("5555-5555-5555-4444 exp 12/29", "payment_card"),
        ("378282246310005", "payment_card"),
        ("+49 30 901820", "phone"),
        ("ring (030) 901820 or +1 415 555 2671", "phone"),
        ("maren.lindqvist@example.org", "email"),
        ("maren [at] example (dot) org", "email"),
        ("36 574 261 809", "national_id"),
        ("RSSMRA85T10A562S", "national_id"),
        ("536-90-4399", "national_id"),
        ("about Project  BLUEBIRD.", "filtered"),
    ],
)
def test_personal_data_is_found_as_people_write_it(text: str, kind: str) -> None:
    assert kind in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2c3D4" * 8,
        "glpat-" + "a1B2c3D4e5" * 2,
        "xoxb-123456789012-abcdefGHIJ",
        "sk_live_" + "a1B2" * 6,
        "AIza" + "a1B2c" * 7,
        KEY,
        "hf_" + "a1B2" * 9,
        "whsec_" + "a1B2" * 8,
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZ2VudCJ9.c2lnbmF0dXJlLWJ5dGVz",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----",
        "postgresql://app:hunter2@db.internal:5432/countersign",
        '{"kty":"OKP","crv":"Ed25519","d":"' + "a1B2" * 11 + '"}',
        "DB_PASSWORD=Tr0ub4dor&3",
        "The password is: correctHorse9!",
        "Authorization: Bearer " + "a1B2c3D4" * 4,
    ],
)
def test_secrets_are_found_by_their_form(text: str) -> None:
    assert "secret" in kinds(f"see {text} thanks")


@pytest.mark.parametrize(
    "text",
    [
        "Order ORD-1001 of 2026-11-21 09:12:00 was refunded with 24.90 EUR (RF-9001).",
        "The password is forgotten; the secret: patience.",
        "Reference 1234567890123456, parcel 00340434161094042557.",
        "We are at example and that is all; meet us at 10.30",
        "run-abcdefghijklmnopqrstuvwxyz and sha256:" + "0f" * 32,
        "https://example.org/path?x=1",
        "card **** **** **** 4417",
        "DE00 3704 0044 0532 0130 00",
        "1111 1111 1111 1111",
        "",
    ],
)
def test_usual_business_text_has_no_findings(text: str) -> None:
    assert kinds(text) == set()


UUID = "0301234c-5678-4f4c-8d15-0309018201ab"
IN_DIGEST = f"a{CARD}b030901820c4fe9"


def test_the_digits_of_an_identifier_are_nobody_s_number() -> None:
    assert len(IN_DIGEST) == 32
    assert kinds(f"Order {UUID} and digest {IN_DIGEST}") == set()
    # The same digits in what has not the form of one are found.
    assert kinds(f"Order {UUID[:-1]} and {IN_DIGEST}0") == {"phone", "payment_card"}


@pytest.mark.parametrize(
    "text",
    [
        "You paid on 08.09.2029, on 9/8/2029 or on 2029-09-08 at 10:30",
        "on 12.08.2025 07:30:29, in the log 2024-08-03T08:50:05.833792+00:00",
        "RF-99503e0349397a30",
        "RE-c0475048c2abb4cf and c784ddc1f603023e0260996d of R1AQQ6Q0454928HXRT70BYWWWF",
        "00-7152c1929182c0643fdb039753617461-9aa9def05fab0309018201-01",
        "200.43.130.234 asks 0.218.133.117",
        "0.608113225872046",
    ],
)
def test_what_has_another_form_is_nobody_s_number(text: str) -> None:
    assert kinds(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "Tel030901820", "on 08.09.2029 030 901820", "030901820x", "08.09.2029: +49 30 901820", "a1 030 901820 b2",
        "0171.2345678",
    ],
)  # fmt: skip
def test_a_phone_number_is_found_beside_it(text: str) -> None:
    assert kinds(text) == {"phone"}


def test_what_is_not_a_number_is_found_in_an_identifier() -> None:
    account = "DE89370400440532013000"
    assert kinds(account.ljust(32, "a")) == {"iban"}
    assert "payment_card" in kinds("41111111-1111-1111-0000-000000000000")


def fullwidth(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


DISGUISES: Mapping[str, Callable[[str], str]] = {
    "full width": fullwidth,
    "zero width": "\u200b".join,
    "soft hyphens and joiners": "\u00ad\u2060".join,
    "combining marks": "\u0336".join,
    "spaces": " ".join,
    "dots": ".".join,
    "no-break spaces": "\u00a0".join,
    "arabic digits": lambda text: "".join(chr(0x0660 + int(c)) if c.isdigit() else c for c in text),
    "mathematical digits": lambda text: "".join(chr(0x1D7CE + int(c)) if c.isdigit() else c for c in text),
    "look-alike letters": lambda text: text.replace("E", "\u0415"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(f"key={text}?".encode()).decode().rstrip("="),
    "glued base64": lambda text: "id" + base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "percent signs": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "bidirectional marks": lambda text: f"\u202e{text}\u202c",
}


@pytest.mark.parametrize("disguise", DISGUISES, ids=str)
@pytest.mark.parametrize(("value", "kind"), [(IBAN, "iban"), (CARD, "payment_card")])
def test_a_disguised_number_is_found(value: str, kind: str, disguise: str) -> None:
    text = f"It is {DISGUISES[disguise](value)} as agreed"
    assert kind in kinds(text), text


@pytest.mark.parametrize("disguise", ["full width", "zero width", "base64", "glued base64", "hexadecimal"])
def test_a_disguised_key_is_found(disguise: str) -> None:
    assert "secret" in kinds(f"use {DISGUISES[disguise](KEY)} now")
    assert "secret" in kinds(f"https://example.org/?q={quote(KEY)}")


@given(st.text(max_size=40), st.text(max_size=40), st.integers(10**11, 10**12 - 1))
@settings(max_examples=examples(200), deadline=None)
def test_a_number_with_a_right_check_digit_is_found_in_any_text(before: str, after: str, middle: int) -> None:
    card = f"4{middle:014d}"
    card += luhn.calc_check_digit(card)
    found = [span for span in DETECTORS.spans(f"{before}; {card} ;{after}") if span.kind is Sensitive.PAYMENT_CARD]
    assert card in {span.value for span in found}
    account = f"DE00{middle:018d}"
    account = f"DE{iban.calc_check_digits(account)}{account[4:]}"
    text = f"{before}; {account} ;{after}"
    spans = [span for span in DETECTORS.spans(text) if span.kind is Sensitive.IBAN and span.value == account]
    assert [text[span.start : span.end] for span in spans] == [account]


@given(st.text(max_size=300))
@settings(max_examples=examples(300), deadline=None)
def test_every_span_lies_in_the_text(text: str) -> None:
    for span in DETECTORS.spans(text):
        assert 0 <= span.start < span.end <= len(text)


def adversarial() -> dict[str, str]:
    rng = random.Random(3)
    size = 10_240
    words = ["the customer", "wrote that", "order ORD-1001", "of 24.90 EUR", "arrived broken", "on 2026-11-21"]
    return {
        name: (text * (size // len(text) + 1))[:size]
        for name, text in {
            "prose": " ".join(rng.choice(words) for _ in range(2_000)),
            "digits apart": "4 2 7 1 9 3 ",
            "digits": "".join(str(rng.randint(0, 9)) for _ in range(size)),
            "base64": base64.b64encode(rng.randbytes(size)).decode(),
            "at signs": "a@",
            "heads of account numbers": "DE89 3704 ",
            "letters and digits": "A1",
            "addresses": "a://b:c",
            "passwords": "password:",
            "keys": "-----BEGIN PRIVATE KEY-----",
            "tokens": "eyJaaaaaaaaa.",
            "hexadecimal": "ab ",
            "percent signs": "%41",
            "plus signs": "+49 ",
            "groups": "12-",
            "cyrillic": "\u0451",
        }.items()
    }


@pytest.mark.parametrize("name", adversarial())
def test_no_text_makes_the_search_slow(name: str) -> None:
    text = adversarial()[name]
    DETECTORS.spans(text[:100])  # the libraries load their registers
    best_s = min(_timed(text) for _ in range(3))
    assert best_s < (0.1 if name == "prose" else 0.6), f"{best_s * 1000:.0f} ms for 10 KB"


def _timed(text: str) -> float:
    began = time.process_time()
    DETECTORS.spans(text)
    return time.process_time() - began


def test_a_text_that_is_too_long_is_refused_not_skipped() -> None:
    with pytest.raises(TextTooLong, match="at most"):
        DETECTORS.spans("a" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(("field", "value"), [("phone_regions", "ZZ"), ("national_ids", "de.nothing")])
def test_a_kind_that_no_library_knows_is_refused_by_name(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: .*{value}"):
        Detectors(OutputRules.model_validate({field: [value], "rules": []}))
