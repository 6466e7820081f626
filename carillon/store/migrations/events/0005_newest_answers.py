"""The newest open and click of each contact, of what is folded already; the index by which the fold finds them holds both."""

import sqlalchemy as sa
from alembic import op

revision = "events_0005"
down_revision = "events_0004"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FILL = """
    INSERT INTO events.contact_response (contact_id, last_open, last_click)
    SELECT contact_id, max(first_open), max(first_click) FROM events.response
    WHERE contact_id IS NOT NULL AND coalesce(first_open, first_click, machine_click) IS NOT NULL
    GROUP BY contact_id ORDER BY contact_id"""


def upgrade() -> None:
    op.create_table(
        "contact_response",
        sa.Column("contact_id", _INT64, nullable=False),
        sa.Column("last_open", _INT64, nullable=True),
        sa.Column("last_click", _INT64, nullable=True),
        sa.PrimaryKeyConstraint("contact_id"),
        schema="events",
        sqlite_with_rowid=False,
    )
    op.drop_index("ix_response_contact", "response", schema="events")
    columns = ["contact_id", "first_click", "first_open"]
    op.create_index("ix_response_contact", "response", columns, schema="events")
    op.execute(_FILL)
