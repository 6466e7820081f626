"""Who was moved to another version, and what it changed for them: a row a person and move."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0012"
down_revision = "ledger_0011"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "moved",
        sa.Column("enrolment_id", _INT64, autoincrement=False, nullable=False),
        sa.Column("to_version", _INT64, autoincrement=False, nullable=False),
        sa.Column("from_version", _INT64, nullable=False),
        sa.Column("node_id", _INT64, nullable=False),
        sa.Column("at", _INT64, nullable=False),
        sa.Column("due_before", _INT64, nullable=True),
        sa.Column("due_at", _INT64, nullable=True),
        sa.PrimaryKeyConstraint("enrolment_id", "to_version"),
        schema="ledger",
        sqlite_with_rowid=False,
    )
    # Of earlier moves the step alone is known, and of some not even that: where such a way began is not told.
    op.execute(
        "INSERT INTO ledger.moved (enrolment_id, to_version, from_version, node_id, at)"
        " SELECT id, version_id, 0, moved_node, entered_at FROM ledger.enrolment WHERE moved_node IS NOT NULL"
    )
