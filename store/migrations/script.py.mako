"""${message}."""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """${message}."""


def downgrade() -> None:
    """Never: records are not thrown away by a migration."""
    msg = "restore a backup instead: migrations only go forward"
    raise RuntimeError(msg)
