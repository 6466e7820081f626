"""Caps look up only those batches whose people do not count where they were due: of the others an index says all."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0013"
down_revision = "ledger_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    withdrawn = sa.text("state = 'withdrawn' AND n > 0")
    op.create_index(
        "ix_batch_withdrawn", "batch", ["decided_at"], schema="ledger",
        sqlite_where=withdrawn, postgresql_where=withdrawn,
    )  # fmt: skip
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_send_contact", "send", schema="ledger")
        columns = ["contact_id", "due_at", "batch_id", "outcome", "channel"]
        op.create_index("ix_send_contact", "send", columns, schema="ledger")
