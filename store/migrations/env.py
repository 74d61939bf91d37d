"""Alembic's environment: runs on the connection that `store.migrations.upgrade` hands over."""

from alembic import context
from sqlmodel import SQLModel

import store.tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
