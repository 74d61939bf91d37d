"""From what the SDKs raise to our two errors, by one table for all providers.

Our errors are raised without a cause: an SDK's error carries the whole response body and the request with its key, and
Temporal would write a cause's text into the history.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anthropic
import httpx2
import openai

from activities.models.errors import ModelRejected, ModelUnavailable, retry_after_s, scrub
from activities.models.wire import object_of, text_of

__all__ = ["reported", "translated"]

_RETRYABLE = frozenset({408, 409, 425, 429})
_OVER_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
"""Sent with 429, but waiting does not help: somebody must pay."""
_REJECTED_KINDS = _OVER_QUOTA | {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "invalid_prompt",
    "context_length_exceeded",
    "data_residency_mismatch",
    "bio_policy",
    "misalignment_policy_violation",
}
_UNCHARGED_KINDS = frozenset({"rate_limit_error", "rate_limit_exceeded", "overloaded_error"})
_ADVICE = {
    400: "The request does not fit this model; see the model map.",
    401: "Check the key.",
    402: "The account cannot pay.",
    403: "The key may not use this model.",
    404: "Check the model id in settings/models.yaml and the server's address.",
    413: "The conversation is too large for this model.",
}
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@asynccontextmanager
async def translated(provider: str, secret: str) -> AsyncGenerator[None]:
    """Turn whatever an SDK raises into `ModelUnavailable` or `ModelRejected`."""
    try:
        yield
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        raise _of_status(provider, error.status_code, error.response.headers, error.body, secret) from None
    except (openai.APIConnectionError, anthropic.APIConnectionError) as error:
        raise _of_connection(provider, error.__cause__ or error) from None
    except (openai.APIError, anthropic.APIError) as error:
        raise reported(provider, error.body, secret) from None
    except httpx2.HTTPError as error:
        raise _of_connection(provider, error) from None
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        raise ModelRejected(f"{provider}: {scrub(error, secret)}") from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # An SDK that meets what it does not expect (no JSON, another shape) raises as it happens to.
        raise ModelUnavailable(
            f"{provider}: the answer could not be read ({type(error).__name__})", possibly_charged=True
        ) from None


def reported(provider: str, body: object, secret: str) -> ModelUnavailable | ModelRejected:
    """An error that a provider reports within a stream that began well."""
    kind, words = _said(body, secret)
    if kind in _REJECTED_KINDS:
        return ModelRejected(f"{provider}: {kind}: {words}")
    charged = kind not in _UNCHARGED_KINDS
    return ModelUnavailable(
        f"{provider}: {kind or 'error'} while answering: {words or 'no reason given'}", possibly_charged=charged
    )


def _of_status(
    provider: str, status: int, headers: Mapping[str, str], body: object, secret: str
) -> ModelUnavailable | ModelRejected:
    if status < 400:  # noqa: PLR2004 - an error reported within a successful stream has the stream's status
        return reported(provider, body, secret)
    kind, words = _said(body, secret)
    message = f"{provider}: HTTP {status} {kind}: {words}".replace(" :", ":").rstrip(": ")
    if (status in _RETRYABLE or status >= 500) and kind not in _OVER_QUOTA:  # noqa: PLR2004 - server errors
        # A limiter answers before the model does; any other fault may come after it.
        charged = status != 429 and kind not in _UNCHARGED_KINDS  # noqa: PLR2004 - too many requests
        wait_s = retry_after_s({name.lower(): value for name, value in headers.items()}, datetime.now(UTC))
        return ModelUnavailable(message, retry_after_s=wait_s, possibly_charged=charged, status=status)
    advice = _ADVICE[402] if kind in _OVER_QUOTA else _ADVICE.get(status, "")
    return ModelRejected(f"{message}. {advice}".rstrip(), status=status)


def _of_connection(provider: str, error: BaseException) -> ModelUnavailable:
    sent = not isinstance(error, _NEVER_SENT)
    late = isinstance(error, httpx2.TimeoutException)
    what = "timed out" if late else "the stream was cut" if sent else "cannot be reached"
    return ModelUnavailable(f"{provider}: {what} ({type(error).__name__})", possibly_charged=sent)


def _said(body: object, secret: str) -> tuple[str, str]:
    """The machine's word and the human words of an error body, whichever of the usual shapes it has."""
    outer = object_of(body)
    inner = object_of(outer.get("error")) or outer
    kind = text_of(inner.get("code")) or text_of(inner.get("type"))
    return scrub(kind, secret)[:60], scrub(text_of(inner.get("message")), secret)
