"""What was decided of a slice, in temporary tables: batches and sends are written from them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.editions import NEWEST, as_entered, editions_of
from carillon.delivery.slices import Slice, due, is_fresh, of_slice
from carillon.experiment.split import arm_of, even_arms, is_in_sample
from carillon.journey.ground import Ground
from carillon.plan.generations import Generation, generations_of
from carillon.plan.model import MessageNode, arms_of
from carillon.policy.decide import Question, decisions
from carillon.store import tables as t
from carillon.store.columns import Int64

COUNTED = 10_000
"""Places that PostgreSQL counts at a time: they are this connection's alone, so that none is left out."""


@functools.cache
def run_table() -> sa.Table:
    """Which places of `decision` share which batch."""
    return sa.Table(
        "run_of_people",
        sa.MetaData(),
        sa.Column("batch_id", Int64, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger),
        sa.Column("last", sa.BigInteger),
        prefixes=["TEMPORARY"],
    )


@functools.cache
def decision_table() -> sa.Table:
    """The slice's decisions, in memory: both the batches and the sends are written from it."""
    return sa.Table(
        "decision",
        sa.MetaData(),
        # PostgreSQL counts many at a time, in its memory: asked for one by one they cost four times as much.
        sa.Column("place", Int64, sa.Identity(cache=COUNTED), primary_key=True),
        sa.Column("enrolment_id", sa.BigInteger),
        sa.Column("contact_id", sa.BigInteger),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("not_after", sa.BigInteger),
        sa.Column("arm", sa.String),
        sa.Column("language", sa.String),
        sa.Column("texts_at", sa.BigInteger),
        sa.Column("reason", sa.String),
        sa.Column("wait_until", sa.BigInteger),
        sa.Column("price", sa.BigInteger),
        prefixes=["TEMPORARY"],
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that the statement is made of, but the slice: what is equal asks the same."""

    question: Question
    is_dense: bool
    is_fresh: bool
    editions: Sequence[int]
    generations: Sequence[Generation]


class Deciding:
    """Decides slices of those who stand at one message. The statement is made anew only where what it asks has changed."""

    def __init__(self, ground: Ground, version_id: int, node: MessageNode) -> None:
        self._ground, self._version_id, self._node = ground, version_id, node
        self._asked: _Asked | None = None
        self._statement: Any = (
            None  # compiled: to find it in SQLAlchemy's cache takes longer than to decide a few people
        )

    def decide(self, connection: Connection, question: Question, one: Slice) -> sa.Table:
        """Fill the table of decisions: alike people lie together, in the order in which they are due."""
        fresh = is_fresh(connection, question.node_id, one)
        asked = _Asked(question, one.is_dense, fresh, self._editions(connection), self._generations(connection))
        if asked != self._asked:
            self._statement, self._asked = self._made(asked).compile(connection), asked
        connection.execute(self._statement, one.bounds)
        return decision_table()

    def _editions(self, connection: Connection) -> Sequence[int]:
        if not self._ground.applied.plan.keeps_texts and self._node.test is None:
            return ()
        return editions_of(connection, self._ground.applied.nodes[self._node.id])

    def _generations(self, connection: Connection) -> Sequence[Generation]:
        if len(arms_of(self._node)) == 1:
            return ()
        return generations_of(connection, self._ground.applied.nodes[self._node.id])

    def _made(self, asked: _Asked) -> sa.Insert:
        here = due(self._ground, self._version_id, self._node, is_dense=asked.is_dense, is_fresh=asked.is_fresh)
        d = (
            decisions(asked.question, sa.select(t.enrolment).where(here, of_slice()).subquery("due"))
            .subquery("decided")
            .c
        )
        texts_at = self._texts_at(asked.editions, d)
        # The words were read before: whoever gets old ones is drawn by the question that was about them.
        arm = _arm(self._node, d, asked.generations, texts_at)
        rows = sa.select(
            d.enrolment_id, d.contact_id, d.due_at, d.not_after, arm.label("arm"), d.language,
            texts_at.label("texts_at"), d.reason, d.wait_until, d.price,
        )  # fmt: skip
        # Rows are numbered as they come: a sort, where a window would be two passes more.
        rows = rows.order_by(*self._grouped(d), d.due_at, d.contact_id)
        return decision_table().insert().from_select([c.name for c in rows.selected_columns], rows)

    def _grouped(self, d: Any) -> Sequence[sa.ColumnElement[Any]]:
        """What alike people have in common; what all have is not compared a person."""
        arm: list[sa.ColumnElement[Any]] = [sa.literal_column("arm")] if len(arms_of(self._node)) > 1 else []
        texts_at: list[sa.ColumnElement[Any]] = (
            [sa.literal_column("texts_at")] if self._ground.applied.plan.keeps_texts else []
        )
        return [d.reason, *arm, d.language, *texts_at]

    def _texts_at(self, editions: Sequence[int], d: Any) -> sa.ColumnElement[Any]:
        """The edition of the texts that each gets. A test's words are those of the decision: its arms belong to them."""
        if self._ground.applied.plan.keeps_texts:
            return as_entered(editions, d.enrolment_id)
        return sa.literal(editions[-1] if editions else NEWEST, sa.BigInteger())


def _arm(
    node: MessageNode, d: Any, generations: Sequence[Generation], texts_at: sa.ColumnElement[Any]
) -> sa.ColumnElement[Any]:
    arms = arms_of(node)
    if len(arms) == 1:
        return sa.literal(arms[0])
    *older, newest = generations
    drawn = [(generation.owns(texts_at), _arm_by(generation.name, node, d)) for generation in older]
    return sa.case(*drawn, else_=_arm_by(newest.name, node, d)) if drawn else _arm_by(newest.name, node, d)


def _arm_by(experiment: str, node: MessageNode, d: Any) -> sa.ColumnElement[Any]:
    arms, test = arms_of(node), node.test
    if test is None or test.send_leader is None:
        return arm_of(experiment, even_arms(arms), d.h31)
    led = sa.select(t.leader.c.arm).where(t.leader.c.experiment == experiment, t.leader.c.wave_id == d.wave_id)
    split = arm_of(experiment, even_arms(arms), d.h31, wave_id=d.wave_id)
    in_sample = is_in_sample(experiment, d.wave_id, test.send_leader.sample, d.h31)
    leader = sa.func.nullif(led.scalar_subquery(), "")
    return sa.case((in_sample, split), else_=sa.func.coalesce(leader, split))


@dataclass(frozen=True, slots=True)
class Alike:
    """People with the same reason, arm, language and edition: they lie together in `decision`."""

    reason: str | None
    arm: str
    language: str
    texts_at: int
    n: int
    first: int


def alike(connection: Connection, decision: sa.Table) -> list[Alike]:
    """The groups in the order of their places, each from where it begins to where the next one does: nobody is sorted."""
    d = decision.c
    what = (d.reason, d.arm, d.language, d.texts_at)
    rows = sa.select(*what, d.place).order_by(d.place).limit(1)
    found, row = [], connection.execute(rows).one_or_none()
    while row is not None:
        unlike = sa.or_(*(column.is_distinct_from(value) for column, value in zip(what, row, strict=False)))
        found.append(row)
        row = connection.execute(rows.where(d.place > row.place, unlike)).one_or_none()
    end = (connection.scalar(sa.select(sa.func.max(d.place))) or 0) + 1
    ends = [row.place for row in found[1:]] + [end] * bool(found)
    return [
        Alike(row.reason, row.arm, row.language, row.texts_at, end - row.place, row.place)
        for row, end in zip(found, ends, strict=True)
    ]


def runs(groups: Iterable[Alike], size: int) -> Iterator[tuple[Alike, int, int]]:
    """The places, first and last, of so many at most who may share a batch."""
    for group in groups:
        if group.reason is None:
            end = group.first + group.n
            yield from ((group, first, min(first + size, end) - 1) for first in range(group.first, end, size))
