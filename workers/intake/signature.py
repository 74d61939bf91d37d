"""Standard Webhooks signatures."""

from collections.abc import Mapping, Sequence

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

__all__ = ["SIGNED_HEADERS", "is_signed"]

SIGNED_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_MAX_SIGNATURE_CHARACTERS = 2_000
_MAX_ID_CHARACTERS = 200


def is_signed(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed this body under this `webhook-id`, within five minutes of now.

    Args:
        headers: by lower-case name; missing, malformed and forged ones all give the same answer.
        body: as received.
        secrets: `whsec_…`; several while they are rotated. Each is tried, so that time does not tell which one fits.
    """
    if len(headers.get("webhook-signature", "")) > _MAX_SIGNATURE_CHARACTERS:
        return False
    if len(headers.get("webhook-id", "")) > _MAX_ID_CHARACTERS:
        return False
    signed = {name: headers[name] for name in SIGNED_HEADERS if name in headers}
    return any([_fits(Webhook(secret), signed, body) for secret in secrets])  # noqa: C419 - each one is tried


def _fits(webhook: Webhook, headers: dict[str, str], body: bytes) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        # ValueError: the library splits and decodes what the sender wrote: a signature without a comma, base64 that is
        # none, a body that is not UTF-8.
        return False
    return True
