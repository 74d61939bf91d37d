"""Contacts inside prose: addresses, links, account and telephone numbers that a reader may follow."""

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["contacts"]

_MAX_CONTACTS = 20
_WORDS = re.compile(r"[^\s<>\"'()\[\]{}|\u2018\u2019\u201c\u201d\u00ab\u00bb]{4,2000}")
_HOST = re.compile(r"(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}(?:[/:?#]\S*)?")
_SPACED_NUMBER = re.compile(r"(?<!\w)\+?[0-9][0-9 ().\u00a0-]{6,40}[0-9](?!\w)")
_GROUPED = re.compile(r"(?<!\w)[A-Z]{2}[0-9]{2}(?: [0-9A-Z]{2,4}){2,8}(?!\w)")
_ID_DIGITS = 6
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]{5,15}(?:Z|[+-][0-9:]{4,5})?)?")


def contacts(text: str) -> list[str]:
    """Each as it stands in the text, in order, at most twenty; spelled out ones such as `name at example` escape."""
    found: dict[str, None] = {}
    for candidate in _candidates(text):
        if len(found) >= _MAX_CONTACTS:
            break
        found.setdefault(candidate)
    return list(found)


def _candidates(text: str) -> Iterator[str]:
    for pattern in (_GROUPED, _SPACED_NUMBER):
        for match in pattern.finditer(text):
            if " " in match[0] and not _DATE.fullmatch(match[0]) and sum(map(str.isdigit, match[0])) >= _ID_DIGITS:
                yield match[0]
    for match in _WORDS.finditer(text):
        word = match[0].strip(".,;:!?*_")
        plain = unicodedata.normalize("NFKC", word)
        if _DATE.fullmatch(plain):
            continue
        if "://" in plain or "@" in plain or _HOST.fullmatch(plain) or sum(map(str.isdigit, plain)) >= _ID_DIGITS:
            yield word
