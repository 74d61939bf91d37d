"""Postgres: tables, migrations, and the named statements of journal, ledger, audit chain, inbox and approvals."""
