"""Alembic's environment: runs on the connection that `store.migrations.upgrade` hands over."""

from alembic import context

from store.tables import RunRow

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=RunRow.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
