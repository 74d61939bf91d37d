"""Send one notice through one channel. Whatever goes wrong is one exception with one line; a secret is in none."""

import asyncio
import json
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formataddr, formatdate, parseaddr
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from activities.notify.words import Notice
from contracts.notice import NoticeKind
from settings.notify import Channel, EmailChannel, SlackChannel, Smtp, WebhookChannel
from settings.secret_references import read_secret

__all__ = ["NoticeNotSentError", "send"]

_HTTP_TIMEOUT_S = 10.0
_FIRST_ERROR = 400


class NoticeNotSentError(Exception):
    """The channel did not take the notice: it is tried again."""


async def send(channel: Channel, notice: Notice, smtp: Smtp | None, folder: Path) -> None:
    """Send. `folder`: where relative secret files lie.

    Raises:
        NoticeNotSentError: it may or may not have arrived.
        SettingsError: a secret cannot be read.
    """
    match channel:
        case EmailChannel():
            if smtp is None:
                raise NoticeNotSentError(f"{channel.name}: no mail server is configured")
            await asyncio.to_thread(_mail, channel, notice, smtp, folder)
        case SlackChannel():
            url = read_secret(channel.url, folder).get_secret_value()
            body = json.dumps(
                {"text": f"*{_slack(notice.subject)}*\n{_slack(notice.sentence)}\n<{notice.link}|Open it>"}
            )
            await _post(channel.name, url, body, {})
        case WebhookChannel():
            body = json.dumps(
                {
                    "type": f"{'account' if notice.kind is NoticeKind.PASSKEYS else 'approval'}.{notice.kind.value}",
                    "data": {"subject": notice.subject, "sentence": notice.sentence, "link": notice.link},
                }
            )
            now = datetime.now(UTC)
            signature = Webhook(read_secret(channel.secret, folder).get_secret_value()).sign(
                notice.notice_id, now, body
            )
            headers = {
                "webhook-id": notice.notice_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signature,
            }
            await _post(channel.name, channel.url, body, headers)


def _slack(text: str) -> str:
    # The three characters that make links and mentions of a text, such as <!channel>.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mail(channel: EmailChannel, notice: Notice, smtp: Smtp, folder: Path) -> None:
    message = EmailMessage()
    message["Subject"] = notice.subject  # without our name: a phone shows 40 characters of it, beneath the sender's
    name, address = parseaddr(smtp.sender)
    message["From"] = formataddr((name or "Countersign", address))
    message["To"] = "undisclosed-recipients:;"
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{notice.notice_id}.{channel.name}@{address.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.text)
    context = ssl.create_default_context()
    try:
        if smtp.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=smtp.timeout_s, context=context)
        else:
            server = smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout_s)
        with server:
            if smtp.security == "starttls":
                server.starttls(context=context)
            if smtp.password is not None:
                server.login(smtp.username, read_secret(smtp.password, folder).get_secret_value())
            refused = server.send_message(message, from_addr=address, to_addrs=list(channel.to))
    except (smtplib.SMTPException, OSError) as error:
        code = getattr(error, "smtp_code", "")
        raise NoticeNotSentError(f"{channel.name}: mail was not taken ({type(error).__name__} {code})") from None
    if refused:
        raise NoticeNotSentError(f"{channel.name}: {len(refused)} of {len(channel.to)} addresses were refused")


async def _post(name: str, url: str, body: str, headers: dict[str, str]) -> None:
    # No redirects and no proxy of the environment: a notice goes where the settings say and nowhere else.
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=_HTTP_TIMEOUT_S) as client:
        try:
            answer = await client.post(url, content=body, headers={"content-type": "application/json", **headers})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoticeNotSentError(f"{name}: {type(error).__name__}") from None
    if answer.status_code >= _FIRST_ERROR or answer.is_redirect:
        raise NoticeNotSentError(f"{name}: answered {answer.status_code}")
