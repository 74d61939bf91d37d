"""What the trusted texts of an event say: whole words, passages and numbers that stand in them."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

__all__ = ["Place", "StatedText"]

_NAME_CHARACTERS = 3
_TEXT_CHARACTERS = 4
"""Shorter texts match by chance; a name of three letters begins with a capital."""
_NUMBER_DIGITS = 2
_MAX_TEXTS = 100
_OPENING = frozenset("([{<'\"\u2018\u201c\u00ab")
_CLOSING = frozenset(")]}>'\"\u2019\u201d\u00bb")
_QUOTES = "'\"\u2018\u2019\u201c\u201d()"
_STOPS = frozenset(".,;:!?")
_OWNER = ("'s", "\u2019s")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,6})?")
_NUMBERS = re.compile(
    r"(?<![\w.,:/%+-])(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,18})(?:\.[0-9]{1,6})?(?![\w%/-]|[.,:][0-9])"
)
_SENTENCE = re.compile(r"[A-Z][a-z]{2}")
_BLANK_WORDS = 5
"""Fewest words of a passage in which a number may be filled in."""
_MAX_BLANKS = 3
_MAX_WORDS = 20_000
_NAMES = re.compile(r"[^\W\d_]\w*")
_WORDS = re.compile(r"\S+")
_FILLED = re.compile(r"[0-9]{1,4}")


class Place(NamedTuple):
    """Where a value stands."""

    path: str
    """Field of the event."""
    start: int
    """First character, counted from 0."""
    how: str
    """`stated` as a whole word or passage, `number`: the same amount in other digits, or `filled in`: a passage in
    which numbers of up to four digits stand for something else."""


class StatedText:
    """Trusted texts, searchable. Only whole words count: what stands inside a longer word or address does not."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, str]] = []
        self._numbers: dict[Decimal, Place] = {}
        self._names: dict[str, Place] = {}

    def add(self, path: str, text: str) -> None:
        """Add the text of a field."""
        if len(self._texts) >= _MAX_TEXTS:
            return
        self._texts.append((path, text))
        for match in _NUMBERS.finditer(text):
            digits = match[0].replace(",", "")
            if sum(map(str.isdigit, digits)) >= _NUMBER_DIGITS:
                self._numbers.setdefault(Decimal(digits), Place(path, match.start(), "number"))
        for match in _NAMES.finditer(text):
            name = match[0]
            if len(name) >= _TEXT_CHARACTERS and name[0].isupper() and _is_whole(text, match.start(), match.end()):
                self._names.setdefault(name, Place(path, match.start(), "stated"))

    def find(self, value: str | int) -> Place | None:
        """Where a value stands: a text to the letter, between the borders of words; a number by what it amounts to."""
        if isinstance(value, bool):
            return None
        if isinstance(value, str) and _is_distinct(value):
            for path, text in self._texts:
                start = text.find(value)
                while start >= 0:
                    if _is_whole(text, start, start + len(value)):
                        return Place(path, start, "stated")
                    start = text.find(value, start + 1)
        number = _number(value)
        if number is not None:
            return self._numbers.get(number)
        return self._filled_in(value) if isinstance(value, str) else None

    def _filled_in(self, value: str) -> Place | None:
        """A passage of as many words, the same but for a few in which a number stands for what stood there."""
        mine = [word.strip(_QUOTES) for word in value.split()]
        if len(mine) < _BLANK_WORDS or not any(map(str.isdigit, value)):
            return None
        for path, text in self._texts:
            words = list(_WORDS.finditer(text))[:_MAX_WORDS]
            for first in range(len(words) - len(mine) + 1):
                passage = [match[0].strip(_QUOTES) for match in words[first : first + len(mine)]]
                blanks = [pair for pair in zip(passage, mine, strict=True) if pair[0] != pair[1]]
                if len(blanks) <= _MAX_BLANKS and all(_is_number_for(ours, theirs) for theirs, ours in blanks):
                    return Place(path, words[first].start(), "filled in")
        return None

    def begins(self, value: str) -> tuple[str, Place] | None:
        """The stated name that a value begins with, such as `External` of `External_0`."""
        match = _NAMES.match(value) if self._names else None
        head = re.split(r"[\W\d_]", match[0], maxsplit=1)[0] if match else ""
        place = self._names.get(head) if len(head) < len(value) else None
        return None if place is None else (head, place)

    def asks_for(self, words: Sequence[str]) -> bool:
        """Whether one of these words stands in a text, in any case."""
        return any(
            re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
            for word in words
            for _, text in self._texts
        )


def _is_distinct(value: str) -> bool:
    """Whether a text is long enough not to stand somewhere by chance."""
    if len(value) >= _TEXT_CHARACTERS:
        return True
    return len(value) == _NAME_CHARACTERS and value.isalnum() and value[0].isupper()


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether what stands there is bounded as words are. Whatever is no known border joins, invisible ones too."""
    before = text[start - 1] if start else " "
    if not (before.isspace() or before in _OPENING or before in ",;"):
        return False
    if before == "," and text[start - 2 : start - 1].isdigit() and text[start].isdigit():
        return False
    if text.startswith(_OWNER, end):
        end += 2
    while end < len(text) and text[end] in _CLOSING:
        end += 1
    if end < len(text) and text[end] in _STOPS:
        end += 1
        while end < len(text) and (text[end] in _STOPS or text[end] in _CLOSING):
            end += 1
        if _SENTENCE.match(text, end):
            # A blank is missing between two sentences. No address goes on with a capital.
            return True
    elif end < len(text) and text[end - 1] in _CLOSING:
        return not text[end].isalnum()
    return end >= len(text) or text[end].isspace()


def _number(value: str | int) -> Decimal | None:
    if isinstance(value, int):
        return Decimal(value)
    if not _DECIMAL.fullmatch(value):
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None


def _is_number_for(mine: str, theirs: str) -> bool:
    """Whether two words differ in one place only, where mine has a number: `1-th` for `k-th`."""
    shortest = min(len(mine), len(theirs))
    start = next((at for at in range(shortest) if mine[at] != theirs[at]), shortest)
    end = next((at for at in range(shortest - start) if mine[-1 - at] != theirs[-1 - at]), shortest - start)
    return bool(_FILLED.fullmatch(mine[start : len(mine) - end])) and start < len(theirs) - end
