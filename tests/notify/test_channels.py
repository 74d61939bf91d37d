"""Notices through a real mail server and a real HTTP server: what arrives, what never does, what is tried again."""

import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from activities.notify.channels import NoticeNotSentError, send
from activities.notify.words import Notice, notice_of
from contracts.notice import NoticeKind
from settings import SettingsError
from settings.notify import EmailChannel, NotifyFile, SlackChannel, Smtp, WebhookChannel, load_notify
from tests.conftest import some_free
from tests.notify.receivers import Hooks, Mailbox, text_of

pytestmark = pytest.mark.req("A8")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOTICE = notice_of(
    NoticeKind.REQUESTED,
    request_id="apr-abcdefghijklmnopqrstuvwxyz",
    tier=3,
    due=datetime(2026, 11, 21, 14, 5, tzinfo=UTC),
    expires=datetime(2026, 11, 22, 14, 5, tzinfo=UTC),
    web_url="https://countersign.example.com/",
)


async def test_a_mail_says_that_a_decision_is_wanted_and_nothing_of_what_it_is_about(
    smtp: Smtp, mailbox: Mailbox, tmp_path: Path
) -> None:
    channel = EmailChannel(name="leads", kind="email", to=("a@example.com", "b@example.com"))
    await send(channel, NOTICE, smtp, tmp_path)
    ((to, message),) = mailbox.taken
    assert to == ["a@example.com", "b@example.com"]
    assert "example.com" not in str(message["To"])
    assert message["Subject"] == "Decide by Sat 21 Nov 14:05 UTC: tier 3, high impact"
    assert str(message["From"]).startswith("Countersign <")
    # What a phone shows beneath the subject; and the link, alone on its line, where a thumb can hit it.
    lines = text_of(message).splitlines()
    assert lines[0].startswith("Tier 3, high impact. An agent waits for people before it acts. ")
    assert "https://countersign.example.com/requests/apr-abcdefghijklmnopqrstuvwxyz" in lines
    assert message["Message-ID"] == "<apr-abcdefghijklmnopqrstuvwxyz-requested.leads@example.com>"
    assert "Sat 21 Nov 14:05 UTC" in text_of(message)


async def test_the_same_notice_has_the_same_id_in_every_attempt(smtp: Smtp, mailbox: Mailbox, tmp_path: Path) -> None:
    channel = EmailChannel(name="leads", kind="email", to=("a@example.com",))
    for _ in range(2):
        await send(channel, NOTICE, smtp, tmp_path)
    assert len({str(message["Message-ID"]) for _, message in mailbox.taken}) == 1


@pytest.mark.parametrize("answer", ["451 try later", "554 refused"])
async def test_mail_that_is_not_taken_is_said(smtp: Smtp, mailbox: Mailbox, tmp_path: Path, answer: str) -> None:
    mailbox.answer = answer
    with pytest.raises(NoticeNotSentError, match="leads: mail was not taken"):
        await send(EmailChannel(name="leads", kind="email", to=("a@example.com",)), NOTICE, smtp, tmp_path)


async def test_one_refused_address_is_said_though_the_others_got_it(
    smtp: Smtp, mailbox: Mailbox, tmp_path: Path
) -> None:
    channel = EmailChannel(name="leads", kind="email", to=("a@example.com", "gone@example.com"))
    with pytest.raises(NoticeNotSentError, match="1 of 2 addresses"):
        await send(channel, NOTICE, smtp, tmp_path)
    assert [to for to, _ in mailbox.taken] == [["a@example.com"]]


async def test_a_server_without_the_demanded_protection_gets_no_mail(
    smtp: Smtp, mailbox: Mailbox, tmp_path: Path
) -> None:
    channel = EmailChannel(name="leads", kind="email", to=("a@example.com",))
    with pytest.raises(NoticeNotSentError):
        await send(channel, NOTICE, smtp.model_copy(update={"security": "starttls"}), tmp_path)
    with pytest.raises(NoticeNotSentError):
        await send(channel, NOTICE, smtp.model_copy(update={"port": some_free()}), tmp_path)
    assert mailbox.taken == []


async def test_a_server_whose_certificate_nobody_vouches_for_gets_neither_password_nor_mail(
    mailbox: Mailbox, tmp_path: Path, self_signed: tuple[Path, Path]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*self_signed)
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=some_free(),
        tls_context=context,
        require_starttls=True,
    )
    controller.start()
    try:
        (tmp_path / "password").write_text("hunter2-canary")
        protected = Smtp(
            host="127.0.0.1", port=controller.port, username="me", password="file:password", sender="a@example.com"
        )
        with pytest.raises(NoticeNotSentError) as refused:
            await send(EmailChannel(name="leads", kind="email", to=("a@example.com",)), NOTICE, protected, tmp_path)
    finally:
        controller.stop()
    assert "hunter2" not in str(refused.value)
    assert mailbox.taken == []


async def test_a_webhook_verifies_with_the_receivers_secret_and_with_no_other(hooks: Hooks, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    channel = WebhookChannel(name="pager", kind="webhook", url=hooks.url, secret="file:secret")
    await send(channel, NOTICE, None, tmp_path)
    ((headers, body),) = hooks.requests
    document = Webhook(SECRET).verify(body, headers)
    assert document == {
        "type": "approval.requested",
        "data": {"subject": NOTICE.subject, "sentence": NOTICE.sentence, "link": NOTICE.link},
    }
    assert headers["webhook-id"] == NOTICE.notice_id
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").verify(body, headers)


async def test_a_chat_gets_a_text_with_the_link(hooks: Hooks, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(hooks.url)
    await send(SlackChannel(name="chat", kind="slack", url="file:url"), NOTICE, None, tmp_path)
    ((_, body),) = hooks.requests
    assert NOTICE.link in json.loads(body)["text"]


@pytest.mark.parametrize(("status", "location"), [(500, ""), (404, ""), (302, "http://127.0.0.1:9/elsewhere")])
async def test_a_hook_that_does_not_take_it_is_said_and_redirects_are_not_followed(
    hooks: Hooks, tmp_path: Path, status: int, location: str
) -> None:
    hooks.status, hooks.location = status, location
    (tmp_path / "url").write_text(hooks.url)
    with pytest.raises(NoticeNotSentError, match=f"^chat: answered {status}$"):
        await send(SlackChannel(name="chat", kind="slack", url="file:url"), NOTICE, None, tmp_path)
    assert len(hooks.requests) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tenants: {acme: [{name: a, kind: email, to: [a@b.example]}]}", "no smtp server"),
        ("tenants: {acme: [{name: a, kind: slack, url: https://hooks.example/x}]}", "acme.0.slack.url"),
        ("tenants: {acme: [{name: a, kind: pigeon}]}", "pigeon"),
        (
            "tenants: {acme: [{name: a, kind: slack, url: 'env:A'}, {name: a, kind: slack, url: 'env:B'}]}",
            "two channels of acme",
        ),
        ("smtp: {host: mail.example, sender: a@b.example, username: me}\ntenants: {}", "belong together"),
        (
            "smtp: {host: m.test, sender: a@b.example, username: me, password: 'env:P', security: none}\ntenants: {}",
            "unprotected",
        ),
        ('smtp: {host: mail.example, sender: "a@b.example\\nBcc: c@d.example"}\ntenants: {}', "sender"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "notify.yaml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load_notify(tmp_path / "notify.yaml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_file_of_the_clone_is_good_and_silent() -> None:
    root = Path(__file__).parents[2]
    assert load_notify(root / "settings" / "notify.yaml") == NotifyFile()


def test_a_notice_tells_no_more_than_it_must() -> None:
    for kind in set(NoticeKind) - {NoticeKind.PASSKEYS}:
        notice: Notice = notice_of(
            kind,
            request_id="apr-x",
            tier=4,
            due=datetime.now(UTC),
            expires=datetime.now(UTC),
            web_url="https://c.example",
        )
        assert notice.link == "https://c.example/requests/apr-x"
        assert "Opening the link decides nothing" in notice.text
