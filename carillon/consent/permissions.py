"""Each (topic, channel) pair that was ever named has a bit of `standing.allow_bits` and `deny_bits`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.model import Workspace
from carillon.kernel.channels import Channel
from carillon.store import tables as t

MOST_PAIRS = 62
"""Bits of a signed 64-bit integer that both stores shift and compare alike."""

Pair = tuple[str, str]
ConsentKind = Literal["explicit", "double", "assumed", "none", "closed"]
"""How a topic's consent on a channel is read. `none`: a transactional topic, allowed unless denied; `closed`: a marketing
topic that does not name the channel is never sent on it."""


class TooManyPermissionsError(ValueError):
    """More pairs of topic and channel than a row of `standing` can hold."""


def consent_kind(workspace: Workspace, topic: str, channel: Channel) -> ConsentKind:
    """How consent is read for a topic on a channel."""
    found = workspace.topics[topic]
    if channel in found.consent:
        return found.consent[channel]
    return "none" if found.kind == "transactional" else "closed"


def known_bits(connection: Connection) -> dict[Pair, int]:
    """Topic and channel → number of the bit."""
    rows = connection.execute(sa.select(t.permission.c.topic, t.permission.c.channel, t.permission.c.bit))
    return {(topic, channel): bit for topic, channel, bit in rows}


def assign_bits(connection: Connection, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Give each new pair a bit, for ever; raises TooManyPermissionsError, naming the pair, when none is left."""
    bits = known_bits(connection)
    for topic, channel in sorted(set(pairs) - bits.keys()):
        if len(bits) >= MOST_PAIRS:
            raise TooManyPermissionsError(
                f"no room for the consent {topic} × {channel}: this store knows {MOST_PAIRS} pairs of topic and channel, "
                "which is the most it can hold; use an existing topic"
            )
        bits[topic, channel] = len(bits)
        connection.execute(t.permission.insert().values(bit=bits[topic, channel], topic=topic, channel=channel))
    return bits
