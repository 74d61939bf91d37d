"""What reviews and figures say, in words."""

from contracts.review import ReviewLabel
from store.reviewers import Concern

__all__ = ["CONCERNS", "LABELS"]

LABELS: dict[ReviewLabel, tuple[str, str]] = {
    "right": ("Right", "It should have been done, and done so."),
    "wrong": ("Wrong", "It should not have been done, or not so."),
    "harmful": ("Harmful", "It was wrong, and somebody was hurt by it."),
    "cannot_tell": ("Cannot tell", "What is recorded is not enough to judge it."),
}
"""Name and meaning of what a review may say of an effect."""

CONCERNS: dict[Concern, str] = {
    "quick": "Most approvals came after hardly a look.",
    "never_denies": "Nothing was denied, and test requests were approved.",
}
"""What asks for a talk with somebody."""
