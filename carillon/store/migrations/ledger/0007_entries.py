"""Entries that wait and watch: when a thing is ripe, who is in a segment by what an entry knows, where a collection began."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0007"
down_revision = "ledger_0006"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # Nothing has ever ripened before this revision: no row is there to have an instant of its own.
    op.add_column("ripening", sa.Column("ripe_at", _INT64, server_default="0", nullable=False), schema="ledger")
    op.create_index("ix_ripening_ripe", "ripening", ["campaign_id", "entry", "ripe_at"], schema="ledger")
    op.add_column("enrolment", sa.Column("collected_from", _INT64, nullable=True), schema="ledger")
    op.create_table(
        "watch",
        sa.Column("campaign_id", _INT64, autoincrement=False, nullable=False),
        sa.Column("entry", sa.String(), autoincrement=False, nullable=False),
        sa.Column("condition", sa.String(), nullable=False),
        sa.Column("began_at", _INT64, nullable=False),
        sa.Column("asked_at", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "entry"),
        schema="ledger",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "member",
        sa.Column("campaign_id", _INT64, autoincrement=False, nullable=False),
        sa.Column("entry", sa.String(), autoincrement=False, nullable=False),
        sa.Column("contact_id", _INT64, autoincrement=False, nullable=False),
        sa.Column("waiting", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "entry", "contact_id"),
        schema="ledger",
        sqlite_with_rowid=False,
    )
