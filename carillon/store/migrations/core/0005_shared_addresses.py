"""Whose address somebody else has stands in the row that policy reads: nobody else is asked for it."""

import sqlalchemy as sa
from alembic import op

revision = "core_0005"
down_revision = "core_0004"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "standing", sa.Column("shared_bits", _INT64, nullable=False, server_default="0"), schema="core"
    )  # fmt: skip
    for address, bit in (("email_key", 1), ("phone_key", 2)):
        op.execute(
            f"""UPDATE core.standing SET shared_bits = shared_bits + {bit} WHERE contact_id IN
                (SELECT id FROM core.contact WHERE {address} IN
                 (SELECT {address} FROM core.contact WHERE {address} IS NOT NULL GROUP BY {address} HAVING count(*) > 1))"""
        )
