"""The event intake: verify, store, acknowledge; then start the run. `python -m workers.intake`.

What makes a delivery the same event again is the CloudEvents `source` and `id`, not `webhook-id`: the same event signed
anew, or delivered in the other content mode, is one event. What makes it another body is the digest of the canonical
event (id, source, type, subject, time, data): new timestamps, spacing or key order of a redelivery do not count.
"""
