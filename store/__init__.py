"""Postgres: tables, migrations, and the named statements of journal, effects ledger, audit chain, inbox and approvals."""
