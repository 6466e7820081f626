"""Tests whose words an apply would change: they have to begin anew, and while they run a person has to say so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.evaluation.exposed import of_test
from carillon.evaluation.of_campaign import look_plan
from carillon.foresight.hypothetical import known_as
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros, from_micros
from carillon.kernel.counting import people, verb
from carillon.plan.ahead import ahead
from carillon.plan.apply import ContentOf
from carillon.plan.generations import generations_of
from carillon.plan.model import MessageNode
from carillon.store import tables as t


@dataclass(frozen=True, slots=True)
class ChangedTest:
    """A test that somebody has been exposed to and whose words are no longer those that they read."""

    step_id: str
    words: tuple[str, ...]
    """`variant, channel, language` of each that differs."""
    exposed: int
    runs_until: Micros | None
    """Its last planned look, or now where people of its sample's wave still wait; None: it is over."""

    @property
    def is_running(self) -> bool:
        return self.runs_until is not None

    @property
    def sentence(self) -> str:
        """For plan and apply."""
        what = f"{self.step_id} is a test that {people(self.exposed)} {verb(self.exposed, 'have')} had, and its words have changed ({'; '.join(self.words)})"
        if self.runs_until is None:
            return f"{what}: it is over, and begins anew with those who come; what was measured is kept"
        return f"{what}: it runs until {from_micros(self.runs_until):%Y-%m-%d %H:%M} UTC"


def changed_tests(connection: Connection, ground: Ground, contents: Sequence[ContentOf]) -> list[ChangedTest]:
    """The tests of the plan that people have been exposed to and whose words would change."""
    known = known_as(connection, ground.applied.plan)
    if known is None:
        return []
    return [
        found
        for node in ground.applied.plan.messages
        if node.test is not None and (node_id := known.nodes.get(_was(ground, node))) is not None
        for found in _changed(connection, ground, node, node_id, contents)
    ]


def _was(ground: Ground, node: MessageNode) -> str:
    return dict(ground.applied.plan.step_was).get(node.id, node.id)


def _changed(
    connection: Connection, ground: Ground, node: MessageNode, node_id: int, contents: Sequence[ContentOf]
) -> Iterator[ChangedTest]:
    applied = _applied(connection, node_id)
    words = tuple(
        ", ".join((one.arm, one.channel, one.language))
        for one in contents
        if one.step_id == node.id and _differs(one, applied.get((one.arm, one.channel, one.language)))
    )
    generations = generations_of(connection, node_id)
    if not words or not generations:
        return
    exposed = of_test(node_id, generation=generations[-1]).subquery("exposed")
    n, began_at = connection.execute(sa.select(sa.func.count(), sa.func.min(exposed.c.at))).one()
    if not n:
        return
    until = _runs_until(connection, ground, node, node_id, began_at)
    # Where each wave is a question of its own, the next one is another: nothing that is over is mixed with it.
    if until is not None or node.test is None or node.test.send_leader is None:
        yield ChangedTest(node.id, words, n, until)


def _applied(connection: Connection, node_id: int) -> dict[tuple[str, str, str], tuple[str, str]]:
    """(variant, channel, language) → (hash, compiled) of what people read now."""
    nc, c = t.node_content.c, t.content.c
    rows = connection.execute(
        sa.select(nc.arm, nc.channel, nc.language, c.hash, c.compiled)
        .join_from(t.node_content, t.content, c.id == nc.content_id)
        .where(nc.node_id == node_id)
    ).tuples()
    return {(arm, channel, language): (hash_, compiled) for arm, channel, language, hash_, compiled in rows}


def _differs(new: ContentOf, old: tuple[str, str] | None) -> bool:
    """Whether people would read something else; what nobody read before differs from nothing."""
    return old is not None and old[0] != new.hash and _as_read(old[1]) != _as_read(new.compiled)


def _as_read(compiled: str) -> str:
    """Without the salt of its tags, which the words of the other variants change too and nobody ever sees."""
    salt = json.loads(compiled).get("salt")
    return compiled.replace(salt, "") if salt else compiled


def _runs_until(
    connection: Connection, ground: Ground, node: MessageNode, node_id: int, began_at: Micros
) -> Micros | None:
    assert node.test is not None
    if node.test.send_leader is not None:  # a wave's question is closed when all of the wave have had theirs
        return ground.now if _has_rest(connection, ground, node, node_id) else None
    last = max(look_plan(ground, began_at).looks_at, default=ground.now)
    return last if last > ground.now else None


def _has_rest(connection: Connection, ground: Ground, node: MessageNode, node_id: int) -> bool:
    """Whether somebody may still come to the test, of a wave in which others have had it."""
    e, s, other = t.enrolment.c, t.send.c, t.enrolment.alias("other")
    before = [ground.applied.nodes[n.id] for n in ground.applied.plan.nodes if node in ahead(ground.applied.plan, n.id)]
    had = sa.exists().where(s.node_id == node_id, s.enrolment_id == e.id)
    began = sa.select(other.c.wave_id).join(t.send, s.enrolment_id == other.c.id).where(s.node_id == node_id)
    waits = sa.select(e.id).where(
        e.campaign_id == ground.applied.id, e.state == "live", e.node_id.in_(before), sa.not_(had), e.wave_id.in_(began)
    )
    return connection.execute(waits.limit(1)).first() is not None
