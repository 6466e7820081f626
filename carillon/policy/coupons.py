"""Coupons: one code an enrolment and pool, set aside with the decision, used up once it was handed over.

Whose a code is follows from the rows of record: `settle_codes` reads it off them, so that a run that was killed anywhere
is put right by the next. All of it runs in a transaction of the reserve pass, under its lock: only there does anybody
come to hold a code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.model import CouponPool
from carillon.kernel.clock import Micros
from carillon.plan.model import MessageNode, Plan
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import rowcount
from carillon.store.staging import stage, unstage, weigh

FREE, SET_ASIDE, UNSURE, USED = "free", "set_aside", "unsure", "used"
OPEN = (SET_ASIDE, UNSURE)
"""Whose they are hangs on what becomes of their message."""
LONGEST = 100
_NOUGHT = sa.literal_column("0", sa.Integer)
_USED, _UNSURE, _PENDING, _NONE = 3, 2, 1, 0


@dataclass(frozen=True, slots=True)
class Stock:
    """How many codes of a pool are nobody's."""

    pool: str
    left: int


@dataclass(frozen=True, slots=True)
class Supply:
    """What is left of a pool, and whether we are to be told."""

    pool: str
    left: int
    low: int

    @property
    def is_low(self) -> bool:
        return self.left < max(self.low, 1)


@dataclass(slots=True)
class Added:
    """What a file of codes brought: `refused` are (row, reason), the first row being 1."""

    new: int = 0
    known: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


def add_codes(connection: Connection, pool: str, codes: Iterable[str], first: int = 1) -> Added:
    """Lay codes into a pool; those that it has already are left as they are, whosever they are by now.

    `first` is the row of the first one, by which refused ones are told.
    """
    fresh, added = new_codes(connection, pool, codes, first)
    added.new = insert_rows(connection, t.coupon, ("pool", "code", "state"), [(pool, code, FREE) for code in fresh])
    return added


def new_codes(connection: Connection, pool: str, codes: Iterable[str], first: int = 1) -> tuple[Collection[str], Added]:
    """The codes that the pool does not have, and what is told of the others; writes nothing."""
    c, added = t.coupon.c, Added()
    held = {code.upper(): (of, code) for of, code in connection.execute(sa.select(c.pool, c.code)).tuples()}
    fresh: dict[str, str] = {}
    for row, code in enumerate((code.strip() for code in codes), first):
        if reason := _why_refused(code, pool, held.get(code.upper()), fresh):
            added.refused.append((row, reason))
        elif code.upper() in held:
            added.known += 1
        else:
            fresh[code.upper()] = code
    return fresh.values(), added


def _why_refused(code: str, pool: str, holder: tuple[str, str] | None, fresh: dict[str, str]) -> str | None:
    if not code:
        return "no code"
    if len(code) > LONGEST:
        return f"longer than {LONGEST} characters"
    if code.upper() in fresh:  # in orders small letters and capitals are the same
        twin = fresh[code.upper()]
        return "stands twice in the file" if twin == code else f"is {twin} in other letters"
    if holder is None or holder == (pool, code):
        return None
    return (
        f"is a code of {holder[0]} already" if holder[1] == code else f"is {holder[1]} of {holder[0]} in other letters"
    )


def stock_of(connection: Connection, pool: str) -> Stock:
    """What is left of a pool; after `settle_codes` exact."""
    c = t.coupon.c
    left = connection.scalar(sa.select(sa.func.count()).where(c.pool == pool, c.state == FREE))
    return Stock(pool, left or 0)


def stock_ahead(connection: Connection, pool: str) -> Stock:
    """The same before the next pass: with the codes that it will free."""
    c = t.coupon.c
    freed = sa.select(sa.func.count()).where(c.pool == pool, c.state.in_(OPEN), _fate() == _NONE)
    return Stock(pool, stock_of(connection, pool).left + (connection.scalar(freed) or 0))


def supplies(connection: Connection, pools: Mapping[str, CouponPool]) -> list[Supply]:
    """What every pool of the workspace has left."""
    return [Supply(name, stock_ahead(connection, name).left, pool.low) for name, pool in pools.items()]


def pool_of(live: Plan, node: MessageNode) -> str | None:
    """The pool of a message: as its words it is what was applied last, or with `messages: as_entered` what they entered on."""
    if not live.marketing or node.is_ours:
        return None
    if live.keeps_texts:
        return node.coupon
    return next((n for n in live.messages if n.id == node.id), node).coupon


def pools_of(live: Plan, plans: Iterable[Plan]) -> frozenset[str]:
    """Every pool of which people under way in these versions are given codes."""
    return frozenset(pool for plan in plans for node in plan.messages if (pool := pool_of(live, node)) is not None)


def coded(told: sa.CTE, stock: Stock) -> sa.CTE:
    """The rows with `is_too_late`: whether the pool is empty before it is their turn; who falls due first comes first.

    A held person takes no code, and is told what a treated one in the same place would be told.
    """
    r, c = told.c, t.coupon.c
    has_code = sa.exists().where(c.pool == stock.pool, c.enrolment_id == r.enrolment_id)
    lacks = sa.and_(r.reason.is_(None), sa.not_(has_code))
    takes = sa.case((sa.and_(lacks, r.role == "treated"), 1), else_=0)
    asks = sa.case((lacks, 1), else_=0)
    rows = sa.select(*r, takes.label("takes"), asks.label("asks")).offset(_NOUGHT).cte("code_asked")
    # By contact where they fall due together: those whom `plan` asks have no enrolment yet.
    order = [rows.c.due_at, rows.c.contact_id, rows.c.enrolment_id]
    before = sa.func.sum(rows.c.takes).over(order_by=order, rows=(None, 0)) - rows.c.takes
    is_too_late = sa.and_(rows.c.asks == 1, before >= stock.left)
    kept = [column for column in rows.c if column.name not in ("takes", "asks")]
    return sa.select(*kept, is_too_late.label("is_too_late")).offset(_NOUGHT).cte("coded")


def set_aside(connection: Connection, pool: str, people: sa.Subquery, at: Micros) -> int:
    """A free code for each of these people (enrolment_id, place, valid_until) who holds none of the pool; how many.

    Who comes first gets the first code by the alphabet. Raises RuntimeError where the decision gave more than there are.
    """
    p, c = people.c, t.coupon.c
    has_code = sa.exists(sa.select(sa.literal(1)).where(c.pool == pool, c.enrolment_id == p.enrolment_id))
    number = sa.func.row_number().over(order_by=p.place)
    lacking = sa.select(number, p.enrolment_id, p.valid_until).where(sa.not_(has_code))
    # Numbered once each and joined by number: as subqueries SQLite went through one of them for every row of the other.
    n = _numbered(connection, _taker, lacking)
    first = sa.select(c.code).where(c.pool == pool, c.state == FREE).order_by(c.code).limit(n).subquery("first")
    _numbered(connection, _offer, sa.select(sa.func.row_number().over(order_by=first.c.code), first.c.code))
    mine = sa.and_(c.pool == pool, c.code == _offer.c.code, _offer.c.number == _taker.c.number)
    holder = {"enrolment_id": _taker.c.enrolment_id, "valid_until": _taker.c.valid_until}
    given = rowcount(connection.execute(t.coupon.update().where(mine).values(state=SET_ASIDE, at=at, **holder)))
    unstage(connection, _taker.name, _offer.name)
    if given != n:
        raise RuntimeError(f"{pool}: {n} codes were promised, {given} are there")
    return given


_taker = sa.table("code_taker", *(sa.column(name, sa.BigInteger) for name in ("number", "enrolment_id", "valid_until")))
_offer = sa.table("code_offer", sa.column("number", sa.BigInteger), sa.column("code", sa.String))


def _numbered(connection: Connection, staged: sa.TableClause, rows: sa.Select[Any]) -> int:
    """Stage the rows under their numbers; how many they are."""
    columns = ", ".join(f"{c.name} {'TEXT' if c.name == 'code' else 'BIGINT'}" for c in staged.c)
    stage(connection, staged.name, f"{columns}, PRIMARY KEY (number)")
    n = rowcount(connection.execute(sa.insert(staged).from_select([c.name for c in staged.c], rows)))
    weigh(connection, staged.name)
    return n


def settle_codes(connection: Connection, pools: Collection[str]) -> int:
    """Bring the codes that are set aside to what became of their messages; returns how many are free again.

    Handed over or given up on, as far as anybody knows: used. Unknown: unsure. Refused, skipped, withdrawn, released: free.
    """
    c = t.coupon.c
    is_open = sa.and_(c.pool.in_(sorted(pools)), c.state.in_(OPEN))
    if not pools or connection.scalar(sa.select(c.code).where(is_open).limit(1)) is None:
        return 0
    fates = sa.select(c.pool, c.code, _fate().label("fate")).where(is_open).subquery("fate_of_code")
    f = fates.c
    mine = sa.and_(c.pool == f.pool, c.code == f.code)
    known = sa.case((f.fate == _USED, USED), (f.fate == _UNSURE, UNSURE), else_=c.state)
    connection.execute(t.coupon.update().where(mine, f.fate > _PENDING).values(state=known))
    freed = t.coupon.update().where(mine, f.fate == _NONE)
    return rowcount(connection.execute(freed.values(state=FREE, enrolment_id=None, at=None, valid_until=None)))


def _fate() -> sa.ColumnElement[Any]:
    """What became of the messages that bear the code: the best of them, as one rejected and one accepted is accepted."""
    c, e, s, b = t.coupon.c, t.enrolment.c, t.send.c, t.batch.c
    of_batch = sa.case(
        (b.state.in_(("accepted", "closed")), _USED), (b.state == "unsure", _UNSURE),
        (b.state.in_(("ready", "claimed")), _PENDING), else_=_NONE,
    )  # fmt: skip
    best = (
        sa.select(sa.func.max(of_batch))
        .join_from(t.enrolment, t.send, sa.and_(s.contact_id == e.contact_id, s.enrolment_id == e.id))
        .join(t.batch, b.id == s.batch_id)
        .where(e.id == c.enrolment_id, b.coupon == c.pool, s.outcome.is_(None))
        .correlate(t.coupon)
    )
    return sa.func.coalesce(best.scalar_subquery(), _NONE)
