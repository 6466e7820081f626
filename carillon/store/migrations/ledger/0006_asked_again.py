"""Batches that are decided once more: those wanted to be sent again, and those whose conditions have grown old."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0006"
down_revision = "ledger_0005"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("batch", sa.Column("resend_at", _INT64, nullable=True), schema="ledger")
    op.add_column("batch", sa.Column("ask_at", _INT64, nullable=True), schema="ledger")
