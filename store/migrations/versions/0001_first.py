"""First tables, roles and row-level security."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    folder = Path(__file__).parent
    for name in ("0001_tables.sql", "0001_access.sql"):
        op.execute((folder / name).read_text(encoding="utf-8").replace(":", r"\:"))


def downgrade() -> None:
    """Never: records are not thrown away by a migration."""
    msg = "restore a backup instead: migrations only go forward"
    raise RuntimeError(msg)
