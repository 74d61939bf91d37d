"""`limits.yaml`: what is written holds, what is not has a bound, and a mistake is named with its line."""

import os
from pathlib import Path

import pytest

from activities.limits import LimitsBook
from settings import Settings, SettingsError
from settings.limits import DayCaps, TenantLimits, load_limits

pytestmark = pytest.mark.req("B1")


def written(folder: Path, text: str) -> Path:
    file = folder / "limits.yaml"
    file.write_text(text)
    return file


def test_the_shipped_file_is_valid_and_narrower_than_the_defaults() -> None:
    acme = load_limits(Settings().limits_file).tenant("acme")
    assert acme.day.tokens < DayCaps().tokens
    assert acme.agent("support_refund").vector()[1] == 20_000_000
    assert acme.tool("payments.issue_refund").rate_per_day == 500


def test_a_tenant_that_is_not_listed_has_bounds(tmp_path: Path) -> None:
    limits = load_limits(written(tmp_path, "tenants: {}\n")).tenant("globex")
    assert limits == TenantLimits()
    assert all(value > 0 for value in limits.day.vector())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tenants: {acme: {timezone: Mars/Olympus}}", "timezone"),
        ("tenants: {acme: {day: {usd: 1.5}}}", "usd"),
        ("tenants: {acme: {day: {tokens: -1}}}", "tokens"),
        ("tenants: {acme: {day: {money_minor: {euro: 1}}}}", "money_minor"),
        ("tenants: {acme: {tools: {refund: {}}}}", "tools"),
        ("tenants: {acme: {budget: 1}}", "budget"),
        ("tenants: {acme: {breaker: {failures: 0}}}", "failures"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_limits(written(tmp_path, text))


def test_a_changed_file_holds_from_the_next_look_and_a_broken_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("settings.watched_limits._LOOK_EVERY_S", 0.0)
    file = written(tmp_path, "tenants: {acme: {day: {tokens: 1}}}")
    book = LimitsBook(file)
    for number, (text, expected) in enumerate(
        [("tenants: {acme: {day: {tokens: 2}}}", 2), ("tenants: [", 2), ("tenants: {acme: {day: {tokens: 3}}}", 3)], 1
    ):
        written(tmp_path, text)
        os.utime(file, (number, number))
        assert book.tenant("acme").day.tokens == expected
    assert "the limits stay as they were" in caplog.text
