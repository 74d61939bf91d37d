"""Tables, migrations and named SQL: journal, effects ledger, audit chain, inbox, approvals, limits."""
