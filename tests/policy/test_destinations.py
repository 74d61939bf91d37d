"""Whom a call may reach: exact names, names below a domain, mailboxes, accounts; and nothing that can be misread."""

from typing import Literal

import pytest

from contracts.tool import Destination
from policy.destinations import refused_destination

pytestmark = pytest.mark.req("T6")

HOSTS = ("api.example.com", "*.partner.example", "@mail.example", "ops@other.example")
ACCOUNTS = ("DE89370400440532013000", "GB29NWBK*")


def refused(kind: Literal["host", "email", "account"], value: str, allowed: tuple[str, ...] = HOSTS) -> bool:
    return bool(refused_destination([Destination(kind=kind, value=value)], allowed))


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "API.example.com.",
        "https://api.example.com/x?y",
        "http://api.example.com:8443/",
        "a.b.partner.example",
    ],
)
def test_listed_hosts_are_reached(host: str) -> None:
    assert not refused("host", host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "evil-api.example.com",
        "api.example.com.evil.test",
        "partner.example",
        "https://api.example.com@evil.test/",
        "https://evil.test\\@api.example.com/",
        "https://evil.test#@api.example.com",
        "ftp://api.example.com/",
        "\u0430pi.example.com",
        "api\u3002example.com",
        "api.example.com\n",
        " api.example.com",
        "",
        "..",
        "http://[::1",
        "mail.example",
    ],
)
def test_every_other_host_is_refused(host: str) -> None:
    assert refused("host", host)


@pytest.mark.parametrize("address", ["a@mail.example", "OPS@other.example", "x@api.example.com", "y@z.partner.example"])
def test_listed_mail_is_sent(address: str) -> None:
    assert not refused("email", address)


@pytest.mark.parametrize(
    "address",
    [
        "boss@other.example",
        "a@mail.example@evil.test",
        "a@evil.test,b@mail.example",
        "evil.test<a@mail.example>",
        '"a@evil.test"@mail.example',
        "a%evil.test@mail.example",
        "mail.example",
        "@mail.example",
        "a@sub.mail.example",
    ],
)
def test_every_other_mailbox_is_refused(address: str) -> None:
    assert refused("email", address)


def test_accounts_are_exact_or_begin_as_listed() -> None:
    assert not refused("account", "de89370400440532013000", ACCOUNTS)
    assert not refused("account", "GB29NWBK60161331926819", ACCOUNTS)
    assert refused("account", "GB29NWB", ACCOUNTS)
    assert refused("account", "DE8937040044053201300O", ACCOUNTS)
    assert refused("account", "DE89 3704", ACCOUNTS)
    assert refused("account", "*", ACCOUNTS)


def test_a_list_that_is_empty_allows_nobody_and_no_destination_needs_none() -> None:
    assert refused("host", "api.example.com", ())
    assert refused_destination([], ()) == ""


def test_one_bad_destination_among_many_refuses_the_call_and_is_named() -> None:
    named = [Destination(kind="email", value="a@mail.example"), Destination(kind="email", value="b@evil.test")]
    assert "b@evil.test" in refused_destination(named, HOSTS)
