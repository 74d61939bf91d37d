"""Text as it reads, with the way back: what hides from a pattern (width, zero-width, look-alikes) is taken away."""

import unicodedata
from dataclasses import dataclass

__all__ = ["Plain", "plain_text"]

_LOOK_ALIKES = str.maketrans(
    "АВЕЗІЈКМНОРСТХУЅаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",  # noqa: RUF001 - Cyrillic and Greek letters are the point
    "ABE3IJKMHOPCTXYSaeopcyxijsABEZHIKMNOPTYXo",
)
_SKIPPED = frozenset({"Cf", "Mn", "Me"})
"""Unicode categories that show nothing of their own: format characters (zero-width ones too) and combining marks."""


@dataclass(frozen=True)
class Plain:
    """A text made plain."""

    text: str
    origins: tuple[int, ...] | None
    """For each of its characters, where that stood in the original; None where nothing changed."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A span of the plain text as one of the original."""
        if self.origins is None or start >= end:
            return start, end
        return self.origins[start], self.origins[end - 1] + 1


def plain_text(text: str) -> Plain:
    """Compatibility forms, digits of every script and Latin look-alikes become ASCII; invisible characters go."""
    if text.isascii():
        return Plain(text, None)
    characters: list[str] = []
    origins: list[int] = []
    for position, character in enumerate(text):
        for shown in _shown(character):
            characters.append(shown)
            origins.append(position)
    return Plain("".join(characters), tuple(origins))


def _shown(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) in _SKIPPED:
        return ""
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if character.isspace():
        return " "
    return unicodedata.normalize("NFKC", character).translate(_LOOK_ALIKES)
