"""Static files under addresses that carry their digest, and the templates."""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from approvals.characters import pieces, plain
from approvals.words import at

__all__ = ["Assets", "deceives", "shown"]

_ROOM = Path(__file__).resolve().parent
_CACHE = "public, max-age=31536000, immutable"


class Assets:
    """Everything that pages are made from, read once."""

    def __init__(self) -> None:
        self._files = {file.name: file.read_bytes() for file in sorted((_ROOM / "static").iterdir())}
        self._addresses = {name: f"/static/{_short(data)}/{name}" for name, data in self._files.items()}
        self._templates = Environment(
            loader=FileSystemLoader(_ROOM / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters["shown"] = shown
        self._templates.filters["plain"] = plain
        self._templates.filters["deceives"] = deceives
        self._templates.filters["moment"] = at
        cast("dict[str, object]", self._templates.globals)["asset"] = self._addresses.__getitem__
        self._without_visitor = self._templates.overlay(undefined=ChainableUndefined)

    def page(self, template: str, values: Mapping[str, object], status: int = 200) -> HTMLResponse:
        """A rendered page."""
        return HTMLResponse(self._templates.get_template(template).render(values), status)

    def text(self, template: str, values: Mapping[str, object]) -> str:
        """A template without the values of a visitor: what is not given is empty."""
        return self._without_visitor.get_template(template).render(values)

    def sheet(self, name: str) -> str:
        """A style sheet."""
        return self._files[name].decode()

    def file(self, stamp: str, name: str) -> Response:
        """A static file; only its current address exists."""
        if self._addresses.get(name) != f"/static/{stamp}/{name}":
            return Response(status_code=404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(self._files[name], media_type=kind, headers={"cache-control": _CACHE})


def shown(text: object) -> Markup:
    """Text of a stranger: escaped, isolated in its direction, with every deceptive character made visible."""
    # Strings, not Markup: a page has hundreds of these, and each join of Markup escapes anew.
    html = "".join(
        f'<mark class="odd" title="{escape(piece.name)}">{escape(piece.text)}</mark>'
        if piece.name
        else escape(piece.text)
        for piece in pieces(str(text))
    )
    return Markup(f"<bdi>{html}</bdi>")  # noqa: S704 - every part is escaped above


def deceives(text: object) -> bool:
    """Whether it has such characters."""
    return any(piece.name for piece in pieces(str(text)))


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
