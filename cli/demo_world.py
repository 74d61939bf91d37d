"""What the demo acts on: the back office's seed with record numbers of its own, so that every demo is a first time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import cast

import httpx
import yaml
from pydantic import JsonValue

from cli.output import CliError
from contracts.base import JsonObject

__all__ = ["Books", "DemoWorld", "Refund"]

SEED = Path(__file__).parent.parent / "examples" / "backoffice" / "seed.yaml"
_NUMBERED = re.compile(r"\b(CUS|ORD|TIC|PAY|RF)-(\d+)\b")
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Refund:
    """A line of the back office's books."""

    order_id: str
    amount_minor: int
    currency: str
    run: str
    """The run that asked for it."""


@dataclass(frozen=True)
class Books:
    """What the back office says happened."""

    refunds: tuple[Refund, ...]


class DemoWorld:
    """The example back office, filled afresh."""

    def __init__(self, url: str, admin_token: str, stamp: str) -> None:
        """`stamp` is a string of digits that makes this demo's record numbers differ from every other's."""
        self._http = httpx.Client(
            base_url=url, timeout=_TIMEOUT_S, headers={"Authorization": f"Bearer {admin_token}"}, trust_env=False
        )
        self._stamp = stamp

    def numbered(self, text: str) -> str:
        """A text of the seed with this demo's record numbers."""
        return _numbered(text, self._stamp)

    def begin(self) -> None:
        """Fill the back office. What an earlier demo left there goes; its runs keep their own records."""
        self.begin_with([self._stamp])

    def begin_with(self, stamps: Sequence[str]) -> None:
        """Fill the back office with the seed once for each stamp."""
        text = SEED.read_text(encoding="utf-8")
        seeds = [cast("JsonObject", yaml.safe_load(_numbered(text, stamp))) for stamp in stamps]
        self._call("POST", "/admin/reset", {"seed": reduce(_merged, seeds)})

    def books(self, tenant: str) -> Books:
        """The refunds that runs made."""
        found = self._call("GET", f"/admin/books?tenant={tenant}")
        refunds = cast("list[JsonObject]", found["refunds"])
        return Books(
            refunds=tuple(
                Refund(
                    order_id=str(refund["order_id"]),
                    amount_minor=int(str(refund["amount_minor"])),
                    currency=str(refund["currency"]),
                    run=str(refund["run"]),
                )
                for refund in refunds
                if refund["run"] != "seed"
            )
        )

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> JsonObject:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise CliError(
                f"the example back office does not answer ({type(error).__name__}). Look at `countersign status`."
            ) from error
        if not answer.is_success:
            raise CliError(f"the example back office refused {path}: {answer.text[:200]}. Is it the one of this stack?")
        return cast("JsonObject", answer.json())


def _merged(one: JsonValue, other: JsonValue) -> JsonValue:
    """Objects key by key, lists one after the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _merged(one[name], other[name]) if name in other else one[name] for name in one}
    return [*one, *other] if isinstance(one, list) and isinstance(other, list) else one


def _numbered(text: str, stamp: str) -> str:
    return _NUMBERED.sub(lambda match: f"{match[1]}-{match[2]}{stamp}", text)
