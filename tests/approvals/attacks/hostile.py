"""A request in which every text that a model, a tool or a stranger could have written is an attack."""

from collections.abc import Iterator
from typing import Any, cast

from pydantic import ValidationError

from contracts.approval import ApprovalView
from contracts.canonical import run_id_for
from tests.approvals.scene import TENANT, refund_view

__all__ = ["FIXED", "PAYLOAD", "hostile_view", "places"]

PAYLOAD = (
    "\"'></title></textarea></style></script><script>owned=1</script><img src=http://127.0.0.1:1/i onerror=owned=1>"
    "<svg onload=owned=1><a href=javascript:owned=1>x</a><meta http-equiv=refresh content=0;url=http://127.0.0.1:1/m>"
    "<link rel=stylesheet href=http://127.0.0.1:1/s><base href=http://127.0.0.1:1/><iframe src=http://127.0.0.1:1/f>"
    "<form action=http://127.0.0.1:1/><button>Approve</button></form>{{7*7}}{%print(1)%}<!--]]>&lt;b&gt;%0d%0aset-cookie:a=b"
    " \u202etxt.exe\u2066 p\u0430ypal \u200b\U000e0041 \ufeff\u2028"
)
FIXED = {"tenant", "run_id", "stage", "bundle_digest", "requirement", "tier", "agent_version", "tool_version"}
"""Fields of a view that hold no text of anybody's: ids and digests of ours, and what policy says."""
_EARLIER = {
    "request_id": "apr-" + "a" * 26, "step": 1, "verdict": "edit", "person": "fay", "display_name": "Fay",
    "words": "No.", "changes": [{"name": "amount", "before": 1, "after": "2"}],
    "problem": "too much", "answer": "Because.",
}  # fmt: skip
Path = tuple[str | int, ...]


def places(value: object, at: Path = ()) -> Iterator[Path]:
    """Where a text stands, or nothing, which could be a text."""
    if isinstance(value, dict):
        for name, inside in cast("dict[str, object]", value).items():
            yield from places(inside, (*at, name))
    elif isinstance(value, list):
        for index, inside in enumerate(cast("list[object]", value)):
            yield from places(inside, (*at, index))
    elif value is None or isinstance(value, str):
        yield at


def hostile_view(name: str = "1") -> tuple[dict[str, Any], set[str]]:
    """Fields of a view with the attack wherever the model lets it stand, and the names of the fields that have it."""
    start = refund_view(run_id_for(TENANT, "tests", name), earlier=[_EARLIER])
    made: dict[str, Any] = start.model_dump(mode="json")
    attacked: set[str] = set()
    for path in places(made):
        inside: Any = made
        for part in path[:-1]:
            inside = inside[part]
        kept, inside[path[-1]] = inside[path[-1]], PAYLOAD[:1_900]
        try:
            ApprovalView.model_validate(made)
            attacked.add(str(path[0]))
        except ValidationError:
            inside[path[-1]] = kept
    for field in ("arguments", "before", "after"):  # names are a stranger's too
        made[field] = {**(made[field] or {}), PAYLOAD: [PAYLOAD, {PAYLOAD: PAYLOAD}]}
    made["evidence"][0]["output"][PAYLOAD] = {PAYLOAD: PAYLOAD}
    return made, attacked
