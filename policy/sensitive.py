"""Personal data and secrets in a text: bounded patterns with check digits. Names and addresses it cannot tell."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Protocol, cast

import phonenumbers
from stdnum import iban, luhn, numdb
from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from contracts.outgoing import OutputRules, Sensitive
from policy.encoded_text import decoded_parts
from policy.plain_text import plain_text
from policy.secret_patterns import secret_spans

__all__ = ["MAX_CHARACTERS", "Detectors", "Span", "TextTooLong"]

_KNOWN_TEXTS = 500
_KNOWN_CHARACTERS = 2_000
MAX_CHARACTERS = 64 * 1024
"""Longest text that is searched; callers bound what they send well below."""

_NUMBER = re.compile(r"\d(?:[\s.\-_/·•]{0,3}\d){11,}")
_IBAN_HEAD = re.compile(r"(?i)[A-Z][\s.\-_]{0,2}[A-Z][\s.\-_]{0,2}\d[\s.\-_]{0,2}\d")
_GAP = re.compile(r"[\s.\-_]{0,3}")
_EMAIL = re.compile(
    r"(?i)[A-Z0-9._%+'-]{1,64}\s{0,2}(?:@|[\[(]\s{0,2}at\s{0,2}[\])])\s{0,2}[A-Z0-9-]{1,63}"
    r"(?:\s{0,2}(?:\.|[\[(]\s{0,2}(?:dot|punkt)\s{0,2}[\])])\s{0,2}[A-Z0-9-]{2,63}){1,6}"
)
_PHONE = re.compile(r"(?:\+|(?<!\d)\(?0)[\d\s()./-]{5,28}\d")
"""Begins with a sign or a zero: else any number of the right length would be a phone number in some country."""
_PHONE_TRIES = 20
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_NO_PHONE = re.compile(
    rf"(?<!\d)(?:{_DAY}([./-]){_DAY}\1(?:19|20)\d\d|(?:19|20)\d\d-\d\d-\d\d|\d\d?:\d\d:\d\d[.,]\d{{1,9}})(?!\d)"
    r"|(?<![\d.])(?:0|[1-9]\d*)\.\d{7,}(?!\.?\d)"
)
"""Dates, parts of seconds, fractions: one in five of `08.09.2029` would be somebody's phone number."""
_MIXED = re.compile(r"\d[A-Za-z]+\d")
"""In a word: a reference such as RF-99503e0349397a30. One in ninety holds the digits of somebody's phone."""
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = re.compile(rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)")
"""Of a machine: one in two hundred would be a national number."""
_IDENTIFIER = re.compile(
    r"(?i)(?<![A-Z0-9])(?:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}|[0-9A-F]{32}|[0-9A-F]{40}|[0-9A-F]{64})(?![A-Z0-9])"
)
"""A UUID or a digest: one in thirty holds the digits of somebody's phone, one in three thousand those of a card."""
_WORD = re.compile(r"[A-Za-z0-9]+")
_WORD_MAX = 64
_CARD_LENGTHS: Sequence[tuple[re.Pattern[str], frozenset[int]]] = (
    (re.compile(r"4"), frozenset({13, 16, 19})),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), frozenset({16})),
    (re.compile(r"3[47]"), frozenset({15})),
    (re.compile(r"30[0-5]|3095|36|3[89]"), frozenset({14, 16})),
    (re.compile(r"6011|64[4-9]|65|62|35(?:2[89]|[3-8])|508|60|81|82"), frozenset({16, 17, 18, 19})),
    (re.compile(r"5018|5020|5038|5893|6304|6759|676[1-3]"), frozenset({16, 18, 19})),
)
_NUMBERS = frozenset({Sensitive.PAYMENT_CARD, Sensitive.NATIONAL_ID, Sensitive.PHONE})
"""What digits alone can be."""
_ID_MIN, _ID_MAX, _ID_WORDS, _ID_DIGITS = 8, 18, 7, 5
_ID_LENGTHS = {"de.idnr": (11,), "us.ssn": (9,), "fr.nir": (15,), "it.codicefiscale": (11, 16), "nl.bsn": (9,)}
"""Lengths of the usual kinds: what has another is not put before the library. Of others every length is."""
_UNCHECKED_IDS = frozenset({"us.ssn"})
"""Numbers without a check digit: any nine digits would do, so only their written form with dashes counts."""


class TextTooLong(ValueError):  # noqa: N818 - said of the text
    """A text is longer than is searched: what cannot be searched must not leave."""


@dataclass(frozen=True)
class Span:
    """One finding."""

    kind: Sensitive
    start: int
    end: int
    """Where it stands in the text as given."""
    value: str
    """Its plain form without separators, for comparison."""


class _Number(Protocol):
    def is_valid(self, number: str) -> bool: ...


class Detectors:
    """Searches texts for everything that an organisation's file names."""

    def __init__(self, rules: OutputRules) -> None:
        """Prepare.

        Raises:
            ValueError: a national number or a country that the libraries do not know.
        """
        self._regions = rules.phone_regions
        if unknown := sorted(set(rules.phone_regions) - set(phonenumbers.SUPPORTED_REGIONS)):
            raise ValueError(f"phone_regions: no country {', '.join(unknown)}")
        self._ids: dict[int, list[tuple[str, Callable[[str], bool]]]] = {}
        for name in rules.national_ids:
            for length in _ID_LENGTHS.get(name, range(_ID_MIN, _ID_MAX + 1)):
                self._ids.setdefault(length, []).append((name, _national_id(name)))
        self._filtered = tuple(_folded(phrase) for phrase in rules.filtered)
        self._known = lru_cache(maxsize=_KNOWN_TEXTS)(self._search)

    def spans(self, text: str) -> tuple[Span, ...]:
        """Findings in order of place; of two that overlap both, unless the one with check digits explains the other.

        Raises:
            TextTooLong: see `MAX_CHARACTERS`.
        """
        if len(text) > MAX_CHARACTERS:
            raise TextTooLong(f"a text of {len(text)} characters is not searched: at most {MAX_CHARACTERS} are")
        # A call is searched when its model proposes it, and again at the gate.
        return self._known(text) if len(text) <= _KNOWN_CHARACTERS else self._search(text)

    def _search(self, text: str) -> tuple[Span, ...]:
        shown = plain_text(text)
        found = [
            Span(kind, *shown.span(start, end), value) for kind, start, end, value in self._plain_spans(shown.text)
        ]
        for start, end, decoded, whole in decoded_parts(shown.text):
            # Bytes that are no text hold no look-alikes of letters: only what stands there in ASCII is looked for.
            inner = plain_text(decoded).text if whole else decoded
            search = self._plain_spans(inner) if whole else _strong_spans(inner)
            found += [Span(kind, *shown.span(start, end), value) for kind, _, _, value in search]
        return tuple(sorted(_explained(found), key=lambda span: (span.start, span.end, span.kind)))

    def _plain_spans(self, text: str) -> Iterator[tuple[Sensitive, int, int, str]]:
        ids = [match.span() for match in _IDENTIFIER.finditer(text) if not match.group().replace("-", "").isdigit()]
        ids += [match.span() for match in _ADDRESS.finditer(text)]
        for kind, start, end, value in self._everything(text):
            if kind not in _NUMBERS or not any(first <= start and end <= last for first, last in ids):
                yield kind, start, end, value

    def _everything(self, text: str) -> Iterator[tuple[Sensitive, int, int, str]]:
        yield from _strong_spans(text)
        for start, end, value in self._national(text):
            yield Sensitive.NATIONAL_ID, start, end, value
        for match in self._phones(text):
            yield Sensitive.PHONE, *match
        if "@" in text or "at" in text:
            for match in _EMAIL.finditer(text):
                yield Sensitive.EMAIL, match.start(), match.end(), "".join(match.group().split()).lower()
        if self._filtered:
            yield from self._phrases(text)

    def _phones(self, text: str) -> Iterator[tuple[int, int, str]]:
        text = _NO_PHONE.sub(lambda other: "|" * len(other.group()), text)
        for part in _PHONE.finditer(text):
            for region in self._regions or (None,):
                found = phonenumbers.PhoneNumberMatcher(part.group(), region, phonenumbers.Leniency.VALID, _PHONE_TRIES)
                for match in found:
                    start, end = part.start() + match.start, part.start() + match.end
                    if not _MIXED.search(_with_its_words(text, start, end)):
                        yield start, end, phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)

    def _national(self, text: str) -> Iterator[tuple[int, int, str]]:
        if not self._ids:
            return
        words = [match for match in _WORD.finditer(text) if any(c.isdigit() for c in match.group())]
        for first, word in enumerate(words):
            digits = word.group()
            for last in range(first, min(first + _ID_WORDS, len(words))):
                if last > first:
                    if words[last].start() - words[last - 1].end() != 1:
                        break
                    digits += words[last].group()
                if len(digits) > _ID_MAX:
                    break
                checks = self._ids.get(len(digits), ())
                if not checks or sum(c.isdigit() for c in digits) < _ID_DIGITS:
                    continue
                start, end = word.start(), words[last].end()
                if any(_is_id(name, check, digits, text[start:end]) for name, check in checks):
                    yield start, end, digits.upper()

    def _phrases(self, text: str) -> Iterator[tuple[Sensitive, int, int, str]]:
        squeezed = [(position, c) for position, c in enumerate(text.casefold()) if not c.isspace()]
        line = "".join(c for _, c in squeezed)
        if len(squeezed) != len(line):
            return  # a character that folds into two: positions would not fit
        for phrase in self._filtered:
            at = line.find(phrase)
            while at >= 0:
                end = min(squeezed[at + len(phrase) - 1][0] + 1, len(text))
                yield Sensitive.FILTERED, min(squeezed[at][0], len(text)), end, phrase
                at = line.find(phrase, at + len(phrase))


def _with_its_words(text: str, start: int, end: int) -> str:
    """A span with the rest, within bounds, of the words in which it begins and ends."""
    first, last = start, end
    while text[start].isalnum() and first > max(start - _WORD_MAX, 0) and text[first - 1].isalnum():
        first -= 1
    while last < min(end + _WORD_MAX, len(text)) and text[last].isalnum():
        last += 1
    return text[first:last]


def _strong_spans(text: str) -> Iterator[tuple[Sensitive, int, int, str]]:
    """What can hardly stand in a text by chance: secrets by form, and numbers with check digits."""
    for start, end in secret_spans(text):
        yield Sensitive.SECRET, start, end, text[start:end]
    for start, end, value in _cards(text):
        yield Sensitive.PAYMENT_CARD, start, end, value
    for start, end, value in _ibans(text):
        yield Sensitive.IBAN, start, end, value


def _cards(text: str) -> Iterator[tuple[int, int, str]]:
    """Card numbers that begin and end where groups of digits do; glued to other digits none is found."""
    for match in _NUMBER.finditer(text):
        places = [position for position in range(*match.span()) if text[position].isdigit()]
        digits = "".join(text[position] for position in places)
        starts = [i for i, place in enumerate(places) if i == 0 or places[i - 1] != place - 1]
        ends = {*starts, len(places)}
        for start in starts:
            for brand, lengths in _CARD_LENGTHS:
                if not brand.match(digits, start):
                    continue
                for length in lengths:
                    number = digits[start : start + length]
                    if start + length in ends and len(set(number)) > 1 and luhn.is_valid(number):
                        yield places[start], places[start + length - 1] + 1, number


def _ibans(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _IBAN_HEAD.finditer(text):
        country = "".join(c for c in match.group() if c.isalpha()).upper()
        length = _iban_lengths().get(country)
        if length is None:
            continue
        number, position = "".join(c for c in match.group() if c.isalnum()).upper(), match.end()
        while len(number) < length:
            gap = _GAP.match(text, position)
            position = gap.end() if gap else position
            if position >= len(text) or not (text[position].isascii() and text[position].isalnum()):
                break
            number += text[position].upper()
            position += 1
        if len(number) == length and iban.is_valid(number, check_country=False):
            yield match.start(), position, number


@lru_cache(maxsize=1)
def _iban_lengths() -> dict[str, int]:
    """Length of an account number by country, from the library's own register."""
    register = numdb.get("iban")
    lengths: dict[str, int] = {}
    for first in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            form = dict(register.info(first + second)[0][1]).get("bban", "")
            if form:
                lengths[first + second] = 4 + sum(int(count) for count in re.findall(r"(\d+)!", form))
    return lengths


def _national_id(name: str) -> Callable[[str], bool]:
    country, _, kind = name.partition(".")
    module = cast("ModuleType | None", get_cc_module(country, kind))
    if module is None:
        raise ValueError(f"national_ids: python-stdnum knows no {name}")
    return cast("_Number", module).is_valid


def _is_id(name: str, is_valid: Callable[[str], bool], digits: str, written: str) -> bool:
    try:
        return is_valid(written) and "-" in written if name in _UNCHECKED_IDS else is_valid(digits)
    except (ValidationError, ValueError, IndexError, KeyError):
        return False


def _explained(found: Sequence[Span]) -> list[Span]:
    """Without the phone and national numbers that are part of an account or card number, and without repetitions."""
    checked = [span for span in found if span.kind in (Sensitive.IBAN, Sensitive.PAYMENT_CARD)]
    weak = (Sensitive.PHONE, Sensitive.NATIONAL_ID)
    return [
        span
        for span in dict.fromkeys(found)
        if span.kind not in weak or not any(other.start < span.end and span.start < other.end for other in checked)
    ]


def _folded(phrase: str) -> str:
    return "".join(plain_text(phrase).text.casefold().split())
