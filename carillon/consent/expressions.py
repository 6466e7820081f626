"""Consent as SQL over the columns of `standing`, for policy and conditions."""

from __future__ import annotations

from typing import Any, assert_never

import sqlalchemy as sa

from carillon.consent.permissions import ConsentKind
from carillon.consent.standing import bit_mask
from carillon.kernel.channels import INVALID_ADDRESS, NO_ADDRESS, SUPPRESSED, Channel, closed_bit
from carillon.store import tables as t


def allowed_sql(
    topic: str, channel: Channel, kind: ConsentKind, standing: sa.FromClause = t.standing
) -> sa.ColumnElement[bool]:
    """Does consent allow the topic on the channel? `kind` is `permissions.consent_kind(workspace, topic, channel)`."""
    match kind:
        case "explicit" | "double":  # what suffices for a yes was settled when it was folded
            return standing.c.allow_bits.bitwise_and(_mask_of(topic, channel)) != 0
        case "assumed" | "none":
            return standing.c.deny_bits.bitwise_and(_mask_of(topic, channel)) == 0
        case "closed":
            return sa.false()
        case _:
            assert_never(kind)


def closed_sql(channel: Channel, standing: sa.FromClause = t.standing) -> sa.ColumnElement[bool]:
    """Is the channel closed: no address, an invalid one, or suppressed?"""
    mask = sum(closed_bit(group, channel) for group in (NO_ADDRESS, INVALID_ADDRESS, SUPPRESSED))
    return standing.c.closed_bits.bitwise_and(mask) != 0


def closed_by_sql(group: int, channel: Channel, standing: sa.FromClause = t.standing) -> sa.ColumnElement[bool]:
    """Is the channel closed for this reason (NO_ADDRESS, INVALID_ADDRESS or SUPPRESSED)?"""
    return standing.c.closed_bits.bitwise_and(closed_bit(group, channel)) != 0


def _mask_of(topic: str, channel: Channel) -> sa.ColumnElement[Any]:
    """The pair's bit, asked once a statement; 0 where nobody ever spoke of it."""
    asked = sa.select(bit_mask(t.permission.c.bit)).where(
        t.permission.c.topic == topic, t.permission.c.channel == channel.value
    )
    return sa.func.coalesce(asked.scalar_subquery(), 0)
