"""Who was moved to another version says at which step: each step's people have arrived at it, on whatever version."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0010"
down_revision = "ledger_0009"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("enrolment", sa.Column("moved_node", _INT64, nullable=True), schema="ledger")
    # Whether those who were under way before were moved, and where, nobody wrote down.
    op.execute(
        "UPDATE ledger.enrolment SET moved_node = -1 WHERE campaign_id IN"
        " (SELECT campaign_id FROM core.version GROUP BY campaign_id HAVING count(*) > 1)"
    )
