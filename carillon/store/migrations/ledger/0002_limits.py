"""Limits: late hand-overs are found without reading all, a batch knows its price, a connector since when it warms up."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0002"
down_revision = "ledger_0001"
branch_labels = None
depends_on = None

_LATE = sa.text("claimed_at > due_at + 900000000")
_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("batch", sa.Column("price_micro", _INT64, server_default="0", nullable=False), schema="ledger")
    op.add_column("pace", sa.Column("warm_since", _INT64, nullable=True), schema="ledger")
    op.create_index(
        "ix_batch_late", "batch", ["claimed_at"], schema="ledger", sqlite_where=_LATE, postgresql_where=_LATE
    )
