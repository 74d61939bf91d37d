"""First tables, roles and row-level security."""

from pathlib import Path

from alembic import op

from store.migrations import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    folder = Path(__file__).parent
    for name in ("0001_tables.sql", "0001_access.sql"):
        run_file(op.get_bind(), folder / name)


def downgrade() -> None:
    """Never: records are not thrown away by a migration."""
    msg = "restore a backup instead: migrations only go forward"
    raise RuntimeError(msg)
