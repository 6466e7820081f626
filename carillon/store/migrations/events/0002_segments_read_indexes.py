"""What segments ask stands in indexes: a contact's money beside its events, opens and clicks in the order of time.

`money_field` says of which property the money was; of what stands in the store already nobody can tell any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "events_0002"
down_revision = "events_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_event_contact", "event", schema="events")
    op.create_index("ix_event_contact", "event", ["contact_id", "kind", "occurred_at", "value_cents"], schema="events")
    for column in ("first_open", "first_click"):
        is_there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_response_{column}", "response", [column, "contact_id"], schema="events",
            sqlite_where=is_there, postgresql_where=is_there,
        )  # fmt: skip
    op.create_table(
        "money_field",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("field", sa.String(), nullable=False),
        schema="events",
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO events.money_field (kind, field) SELECT DISTINCT kind, '' FROM events.contact_stat")
