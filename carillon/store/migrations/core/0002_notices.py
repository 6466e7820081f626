"""What core leaves to be told as events; members of segments stand in the ledger now, beside the waves they cause."""

import sqlalchemy as sa
from alembic import op

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("id", _INT64, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("low", _INT64, nullable=False),
        sa.Column("high", _INT64, nullable=False),
        sa.Column("history", _INT64, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="core",
    )
    op.drop_table("membership", schema="core")
