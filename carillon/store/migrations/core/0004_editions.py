"""Editions: every text that a step ever had, so that people can get the one that stood when they entered."""

import sqlalchemy as sa
from alembic import op

revision = "core_0004"
down_revision = "core_0003"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "edition",
        sa.Column("node_id", _INT64, autoincrement=False, nullable=False),
        sa.Column("arm", sa.String(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(), autoincrement=False, nullable=False),
        sa.Column("language", sa.String(), autoincrement=False, nullable=False),
        sa.Column("applied_at", _INT64, autoincrement=False, nullable=False),
        sa.Column("content_id", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "arm", "channel", "language", "applied_at"),
        schema="core",
        sqlite_with_rowid=False,
    )
    # What stood before the newest one was not kept: to those under way the newest is the oldest that is known.
    op.execute(
        "INSERT INTO core.edition (node_id, arm, channel, language, applied_at, content_id)"
        " SELECT node_id, arm, channel, language, applied_at, content_id FROM core.node_content"
    )
