"""What both sides read and write: texts of fixed sizes, the same in every process."""

import random

__all__ = [
    "MODEL_CHARACTERS",
    "PAGE_CHARACTERS",
    "WRITE_CHARACTERS",
    "WRITE_EVERY",
    "is_write",
    "page_text",
    "reply_text",
]

PAGE_CHARACTERS = 2_000
"""What one read returns."""
MODEL_CHARACTERS = 330
"""What one model call of the bare workflow returns: the size of the scripted model's message in the transcript."""
WRITE_CHARACTERS = 100
"""What one write returns."""
WRITE_EVERY = 5
"""Each fifth round writes, the others read."""

_VOCABULARY = (
    "account address amount answer archive balance branch carrier charge claim colour copy credit customer damage "
    "delivery desk draft entry error excess figure freight goods handle invoice item label ledger letter limit loss "
    "margin match measure month notice number order owner packet parcel partner payment period person pickup price "
    "process quarter query receipt record refund region repair reply report return route scale season sender service "
    "shelf signal stock street supply ticket total transfer update value vendor visit voucher warehouse week weight"
)


def _text(seed: int, characters: int) -> str:
    # Words in random order: real prose neither repeats itself nor fails to compress.
    random_order, vocabulary = random.Random(seed), _VOCABULARY.split()
    words: list[str] = []
    length = 0
    while length < characters:
        words.append(random_order.choice(vocabulary))
        length += len(words[-1]) + 1
    return " ".join(words)[:characters]


_PAGES = tuple(_text(seed, PAGE_CHARACTERS) for seed in range(64))


def is_write(round_number: int) -> bool:
    """Whether a round, counted from 1, writes."""
    return round_number % WRITE_EVERY == 0


def page_text(round_number: int) -> str:
    """The page that is read in a round."""
    return _PAGES[round_number % len(_PAGES)]


def reply_text(round_number: int, characters: int) -> str:
    """The beginning of a page: an answer of the bare workflow's model, or what its write returns."""
    return _PAGES[round_number % len(_PAGES)][:characters]
