"""The events of each contact beside each other: on SQLite a table instead of an index, on PostgreSQL a view over it."""

import sqlalchemy as sa
from alembic import op

revision = "events_0004"
down_revision = "events_0003"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_VIEW = """
    CREATE VIEW events.contact_event AS
    SELECT contact_id, kind, occurred_at, hash64, value_cents, props FROM events.event WHERE contact_id IS NOT NULL"""
# Read through the index that goes: it has almost the new order, so that no million rows are sorted in memory.
_LAY = """
    INSERT INTO events.contact_event (contact_id, kind, occurred_at, hash64, value_cents, props)
    SELECT contact_id, kind, occurred_at, hash64, value_cents, CASE WHEN value_cents IS NOT NULL THEN props END
    FROM events.event INDEXED BY ix_event_contact WHERE contact_id IS NOT NULL"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_VIEW)
        return
    op.create_table(
        "contact_event",
        sa.Column("contact_id", _INT64, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("occurred_at", _INT64, nullable=False),
        sa.Column("hash64", _INT64, nullable=False),
        sa.Column("value_cents", _INT64, nullable=True),
        sa.Column("props", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("contact_id", "kind", "occurred_at", "hash64"),
        schema="events",
        sqlite_with_rowid=False,
    )
    op.execute(_LAY)
    op.drop_index("ix_event_contact", "event", schema="events")
