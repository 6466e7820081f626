"""How often a batch was deferred in a row, whatever it was cut into; and how a connector goes slower and recovers."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0005"
down_revision = "ledger_0004"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("batch", sa.Column("deferrals", _INT64, server_default="0", nullable=False), schema="ledger")
    op.add_column("pace", sa.Column("rest_until", _INT64, nullable=True), schema="ledger")
    op.add_column("pace", sa.Column("strikes", _INT64, server_default="0", nullable=False), schema="ledger")
    op.add_column("pace", sa.Column("rate", _INT64, nullable=True), schema="ledger")
    op.add_column("pace", sa.Column("rate_before", _INT64, nullable=True), schema="ledger")
    op.add_column("pace", sa.Column("cut_at", _INT64, nullable=True), schema="ledger")
