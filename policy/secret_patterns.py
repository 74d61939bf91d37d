"""Secrets by their form alone: prefixes that their makers chose, private keys, tokens, passwords in addresses."""

import math
import re
from collections import Counter
from collections.abc import Iterator

__all__ = ["secret_spans"]

_MIN_ENTROPY_BITS = 3.0
"""Per character: words and dates stay below, generated passwords do not."""

# Every repetition is bounded or over one character class, so that no text makes the search slow.
_FORMS = re.compile(
    r"""
    \b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b                       # AWS access key ids
    | \bgh[pousr]_[A-Za-z0-9]{36,255}                             # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{50,255}
    | \bgl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,255}             # GitLab
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,255}                         # Slack
    | \bxapp-\d-[A-Za-z0-9-]{10,255}
    | \bhttps://hooks\.slack\.com/services/[A-Za-z0-9/]{20,100}
    | \b[srp]k_(?:live|test)_[A-Za-z0-9]{16,255}                  # Stripe
    | \bwhsec_[A-Za-z0-9+/=]{20,255}                              # signing secrets of webhooks
    | \bAIza[A-Za-z0-9_-]{35}                                     # Google
    | \bya29\.[A-Za-z0-9_-]{20,2048}
    | \bGOCSPX-[A-Za-z0-9_-]{20,64}
    | \bsk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,255}      # OpenAI, Anthropic and what imitates them
    | \bhf_[A-Za-z0-9]{30,64}                                     # Hugging Face
    | \bnpm_[A-Za-z0-9]{36}\b
    | \bpypi-AgE[A-Za-z0-9_-]{50,1024}
    | \bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}            # SendGrid
    | \bkey-[0-9a-f]{32}\b                                        # Mailgun
    | \bSK[0-9a-f]{32}\b                                          # Twilio
    | \bdo[por]_v1_[0-9a-f]{64}\b                                 # DigitalOcean
    | \bdp\.(?:pt|st|ct)\.[A-Za-z0-9]{40,64}                      # Doppler
    | \bhv[sbr]\.[A-Za-z0-9_-]{20,255}                            # Vault
    | \bAGE-SECRET-KEY-1[A-Z0-9]{20,80}
    | \b\d{8,10}:AA[A-Za-z0-9_-]{33}\b                            # Telegram
    | \bAccountKey=[A-Za-z0-9+/]{40,100}={0,2}                    # Azure storage
    | \beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,4096}   # JWT
    | -----BEGIN[ ](?:[A-Z0-9]{1,20}[ ]){0,3}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----
      (?:[A-Za-z0-9+/=:,.\s\\]|-(?!-)){0,8192}(?:-----END[ ][A-Z0-9 ]{0,60}-----)?
    | \b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>]{0,64}:[^\s/@"'<>]{1,128}@     # address with a password
    """,
    re.VERBOSE,
)
_PRIVATE_JWK = re.compile(r"""["']d["']\s{0,3}:\s{0,3}["'][A-Za-z0-9_-]{40,700}["']""")
_AFTER_A_WORD = re.compile(
    r"(?:pass(?:word|wd|phrase|code)|passwort|kennwort|mot de passe|contrase(?:n|ñ)a|secret|token|credential"
    r"|api[ _-]?key|access[ _-]?key|private[ _-]?key|authorization)"
    r"[\"']?(?:\s{0,3}(?::|=>?|\bist?\b|\bwas\b)){1,2}\s{0,3}(?:bearer\s{1,3}|basic\s{1,3})?[\"'`]?([^\s\"'`,;<>]{8,512})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:bearer|basic)\s{1,3}([A-Za-z0-9._~+/-]{20,4096}={0,2})", re.IGNORECASE)


def secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets stand in a plain text. They may overlap."""
    for match in _FORMS.finditer(text):
        yield match.span()
    for match in _PRIVATE_JWK.finditer(text):
        yield match.span()
    for pattern in (_AFTER_A_WORD, _BEARER):
        for match in pattern.finditer(text):
            if _looks_generated(match.group(1)):
                yield match.span(1)


def _looks_generated(text: str) -> bool:
    """Mixed and uneven, as people's words are not. Only what stands after a word such as `password` is asked."""
    kinds = sum((any(c.isdigit() for c in text), any(c.islower() for c in text), any(c.isupper() for c in text)))
    special = any(not c.isalnum() and c not in ".-_/" for c in text.rstrip(".!?)"))
    if kinds + special < 2:  # noqa: PLR2004 - two of: digits, small letters, capitals, signs
        return False
    counts = Counter(text)
    entropy = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    return entropy >= _MIN_ENTROPY_BITS or (kinds + special > 2 and len(text) >= 10)  # noqa: PLR2004 - short, but mixed
