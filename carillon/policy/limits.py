"""The limits that hold for one message now: what the house, the live plan and the step say together.

They are never frozen: people under way on an older version obey the limits that were applied last. Transactional topics
have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Scheduled
from carillon.definition.limits import Blackout, Cap
from carillon.kernel.channels import Channel
from carillon.kernel.clock import HOUR, Micros
from carillon.kernel.time.calendar import clock_micros
from carillon.kernel.time.windows import Window
from carillon.plan.model import MessageNode, Plan
from carillon.plan.rules import Rules
from carillon.policy.scan import scan_from
from carillon.store import tables as t

_FARTHEST_ZONE = 15 * HOUR


@dataclass(frozen=True, slots=True)
class CapHere:
    """A cap that holds for this message, and which sends it counts."""

    cap: Cap
    allowed: int
    """Its `max`, less the slots kept free for campaigns of better priority than this one."""
    campaigns: tuple[str, ...]
    """Of the cap's topic; where the cap names none: those that it does not count, being transactional."""

    @property
    def counted_nodes(self) -> sa.ColumnElement[bool]:
        """The sends of the right topic."""
        mine = (
            sa.select(t.node.c.id)
            .join_from(t.node, t.campaign, t.campaign.c.id == t.node.c.campaign_id)
            .where(t.campaign.c.name.in_(self.campaigns))
        )
        if self.cap.topic is not None:
            return t.send.c.node_id.in_(mine)
        return t.send.c.node_id.not_in(mine) if self.campaigns else sa.true()


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What stands against handing a message over now, although the person may have it."""

    windows: tuple[Window, ...] = ()
    """Quiet hours on the contact's clock."""
    blackouts: tuple[Blackout, ...] = ()
    caps: tuple[CapHere, ...] = ()
    resends: bool = False
    """A hand-over whose outcome is unknown may be repeated: until then it counts as pending."""
    once_a_person: bool = False
    """Nobody stands at the message twice: its campaign's entries know no things."""
    again: int | None = None
    """The batch whose people are asked anew, because its hand-over is wanted once more: its own sends do not count."""
    scan_from: Micros = 0
    """No send that was due before this can count for a cap."""

    @property
    def is_by_clock(self) -> bool:
        return bool(self.windows or self.blackouts)


FREE = MessageLimits()


def limits_of(
    connection: Connection,
    rules: Rules,
    live: Plan,
    plan: Plan,
    node: MessageNode,
    topics: Mapping[str, tuple[str, ...]],
    now: Micros,
) -> MessageLimits:
    """The limits of a message of `plan`, of a campaign whose live one is `live`; `topics` names each topic's campaigns."""
    if not live.marketing or node.is_ours:
        return FREE
    step = next((n for n in live.messages if n.id == node.id), node)
    house = rules.limits.quiet_hours.get(node.channel)
    caps = () if live.counts_only else tuple(_caps(rules, live, node.channel, topics))
    resends = rules.if_unsure_marketing.action != "hold"
    return MessageLimits(
        windows=tuple(window for window in (house, step.quiet_hours) if window is not None),
        blackouts=tuple(
            one for one in rules.limits.blackouts
            if node.channel in one.channels and clock_micros(one.end) > now - _FARTHEST_ZONE
        ),
        caps=caps,
        resends=resends,
        once_a_person=all(isinstance(entry, Scheduled) for entry in plan.entries),
        scan_from=scan_from(connection, [here.cap for here in caps], resends, now) if caps else 0,
    )  # fmt: skip


def _caps(rules: Rules, live: Plan, channel: Channel, topics: Mapping[str, tuple[str, ...]]) -> Iterator[CapHere]:
    outside = [name for topic in rules.topics.values() if not topic.marketing for name in topics.get(topic.name, ())]
    for cap in rules.limits.caps:
        if cap.channel not in (None, channel) or cap.topic not in (None, live.topic):
            continue
        kept = cap.keep_free.slots if cap.keep_free is not None and live.priority < cap.keep_free.priority else 0
        campaigns = topics.get(cap.topic, ()) if cap.topic is not None else tuple(sorted(outside))
        yield CapHere(cap, cap.max - kept, campaigns)
