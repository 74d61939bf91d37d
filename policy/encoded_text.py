"""What stands encoded in a text, one level deep: base64, hexadecimal and percent signs."""

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote

__all__ = ["decoded_parts"]

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]{4,})*={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:]?){12,}")
_PERCENT = re.compile(r"[^\s%]*(?:%[0-9A-Fa-f]{2}[^\s%]*)+")
_MAX_PARTS = 100
_SHIFTS = 4
"""Base64 works in groups of four: text that is glued in front of it moves them."""


def decoded_parts(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """Start and end of an encoded part, what it says, and whether all of it reads as text."""
    for count, match in enumerate(_BASE64.finditer(text)):
        if count >= _MAX_PARTS:
            break
        joined = "".join(match.group().split()).rstrip("=").replace("-", "+").replace("_", "/")
        for shift in range(_SHIFTS):
            data = _base64(joined[shift:])
            if data:
                yield (*match.span(), *_as_text(data))
    for count, match in enumerate(_HEX.finditer(text)):
        if count >= _MAX_PARTS:
            break
        digits = re.sub(r"[\s:]", "", match.group())
        yield (*match.span(), *_as_text(bytes.fromhex(digits)))
    if "%" in text:
        for count, match in enumerate(_PERCENT.finditer(text)):
            if count >= _MAX_PARTS:
                break
            yield (*match.span(), unquote(match.group(), errors="replace"), True)


def _base64(text: str) -> bytes:
    usable = text[: len(text) - (1 if len(text) % 4 == 1 else 0)]
    try:
        return base64.b64decode(usable + "=" * (-len(usable) % 4))
    except (binascii.Error, ValueError):
        return b""


def _as_text(data: bytes) -> tuple[str, bool]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1"), False
    return text, all(character.isprintable() or character.isspace() for character in text)
