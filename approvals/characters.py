"""Characters that make a text look like what it is not, turned into visible escapes. Pure."""

import re
import unicodedata
from collections.abc import Iterator

from contracts.base import Record

__all__ = ["Piece", "pieces", "plain"]

_WORD = re.compile(r"[^\W_]+")
_IDENTIFIER = re.compile(r"(?=\S*[A-Za-z0-9])(?=\S*[0-9_@./:-])\S+")
_PLAIN_TEXT = re.compile(r"[\n\t -~]*")
_PLAIN_SPACES = {" ", "\n", "\t"}
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
# Letters that show as nothing, and variation selectors, which can smuggle bytes behind any character.
_BLANK = re.compile("[\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_ALIKE_SCRIPTS = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET")


class Piece(Record):
    """A part of a text: as it is, or a character that must be seen."""

    text: str
    """The part, or the visible escape of one character, such as `U+202E`."""
    name: str = ""
    """What the escaped character is; empty for a plain part."""


def pieces(text: str) -> Iterator[Piece]:
    """Cut a text at every character that hides, reorders or imitates.

    Hiding and reordering ones (controls, bidirectional marks, zero-width, unusual spaces, tags) are escaped everywhere,
    compatibility forms of ASCII (full-width, mathematical) too. Look-alikes are escaped where they imitate: in a word
    that also has ASCII letters, and every non-ASCII character in a text that is an identifier (no space, a digit or one
    of `_@./:-`).
    """
    if _PLAIN_TEXT.fullmatch(text):
        if text:
            yield Piece(text=text)
        return
    odd = set[int]()
    if _IDENTIFIER.fullmatch(text):
        odd |= {index for index, character in enumerate(text) if not character.isascii()}
    for word in _WORD.finditer(text):
        if re.search(r"[A-Za-z]", word[0]):
            odd |= {index for index in range(*word.span()) if _is_look_alike(text[index])}
    start = 0
    for index, character in enumerate(text):
        if index in odd or _is_hidden(character):
            if start < index:
                yield Piece(text=text[start:index])
            name = unicodedata.name(character, "unnamed character").lower()
            yield Piece(text=f"U+{ord(character):04X}", name=name)
            start = index + 1
    if start < len(text):
        yield Piece(text=text[start:])


def plain(text: object) -> str:
    """A stranger's text with such characters made visible, for where no markup can stand."""
    return "".join(piece.text for piece in pieces(str(text)))


def _is_hidden(character: str) -> bool:
    if character.isascii():
        return not character.isprintable() and character not in _PLAIN_SPACES
    if _BLANK.match(character) or unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return True
    plain = unicodedata.normalize("NFKC", character)
    return len(plain) == 1 and plain.isascii()


def _is_look_alike(character: str) -> bool:
    return not character.isascii() and unicodedata.name(character, "").startswith(_ALIKE_SCRIPTS)
