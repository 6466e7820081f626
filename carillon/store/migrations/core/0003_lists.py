"""Lists: when an import named somebody last, so that a file can be the whole list."""

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("list_member", sa.Column("told_at", _INT64, server_default="0", nullable=False), schema="core")
