"""Channels of people: who may decide for somebody now is told, and nobody who may not."""

from pathlib import Path

import pytest

from activities.notify import Notifier
from contracts.notice import NoticeKind
from settings.notify import NotifyFile

pytestmark = pytest.mark.req("A6", "A8")


@pytest.mark.parametrize(
    ("groups", "delegates", "told"),
    [
        (("leads",), (), ["everybody", "leads"]),
        (("leads",), ("dan",), ["everybody", "leads", "dan"]),
        (("finance",), ("dan", "eve"), ["everybody", "dan"]),
        (("finance",), ("eve",), ["everybody"]),
    ],
)
def test_a_delegate_is_told_of_what_they_may_decide(
    groups: tuple[str, ...], delegates: tuple[str, ...], told: list[str]
) -> None:
    slack = {"kind": "slack", "url": "env:URL"}
    channels = (
        {"name": "everybody", **slack},
        {"name": "leads", "groups": ("leads",), **slack},
        {"name": "dan", "people": ("dan",), **slack},
    )
    notifier = Notifier(
        NotifyFile.model_validate({"tenants": {"acme": channels}}), folder=Path(), web_url="http://127.0.0.1"
    )
    found = notifier.channels("acme", NoticeKind.ESCALATED, groups, delegates)
    assert [channel.name for channel in found] == told
