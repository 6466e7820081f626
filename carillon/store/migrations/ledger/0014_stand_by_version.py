"""Who stands at a step is found by their version, too: an older one that nobody is on any more is told by a look each step."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0014"
down_revision = "ledger_0013"
branch_labels = None
depends_on = None

_LIVE = sa.text("state = 'live'")


def upgrade() -> None:
    op.drop_index("ix_enrolment_stand", "enrolment", schema="ledger")
    op.create_index(
        "ix_enrolment_stand", "enrolment", ["node_id", "version_id", "due_at"], schema="ledger",
        sqlite_where=_LIVE, postgresql_where=_LIVE,
    )  # fmt: skip
