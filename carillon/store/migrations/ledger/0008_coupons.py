"""Coupons: which batch gives codes of which pool, how long a code is good, and the free ones in their order."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0008"
down_revision = "ledger_0007"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("batch", sa.Column("coupon", sa.String(), nullable=True), schema="ledger")
    op.add_column("coupon", sa.Column("valid_until", _INT64, nullable=True), schema="ledger")
    op.create_index("ix_coupon_state", "coupon", ["pool", "state", "code"], schema="ledger")
