"""Settles refund requests that reach customer support: reads the ticket and its order, refunds, drafts the reply."""
