"""What somebody tries who wants a decision that is not theirs: each is refused, says why, and changes nothing."""
