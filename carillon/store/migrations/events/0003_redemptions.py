"""Codes that stood in orders. What was folded before this revision was folded without them: nobody had a code yet."""

import sqlalchemy as sa
from alembic import op

revision = "events_0003"
down_revision = "events_0002"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "redemption",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("at", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("code"),
        schema="events",
        sqlite_with_rowid=False,
    )
