"""Whose the code in an order is: who waits for what becomes of theirs is told, and need not ask every quarter of an hour."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0015"
down_revision = "ledger_0014"
branch_labels = None
depends_on = None

_HELD = sa.text("enrolment_id IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_coupon_spelt", "coupon", [sa.text("upper(code)")], schema="ledger", sqlite_where=_HELD,
        postgresql_where=_HELD,
    )  # fmt: skip
