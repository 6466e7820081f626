"""Refused addresses stand in the ledger until core knows them: a crash between the two parts forgets none."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0004"
down_revision = "ledger_0003"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "refusal",
        sa.Column("id", _INT64, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address_key", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="ledger",
    )
