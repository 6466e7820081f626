"""Budgets: what a message will cost is known when it is decided; who would pass the budget gets nothing.

Counted are planned costs, in millionths of the currency, by quarter of an hour: what is released or stopped before it
left is given back. Transactional topics have no budget and use none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.limits import Budget
from carillon.kernel.clock import MINUTE, Micros, from_micros
from carillon.kernel.time.calendar import period_start
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import rowcount

Column = sa.ColumnElement[Any]

MILLION = 1_000_000
_QUARTER = 15 * MINUTE
_NOUGHT = sa.literal_column("0", sa.Integer)


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left of the tightest budget, and what one message costs."""

    left: int
    by_country: Mapping[str, int]
    """Country → price of one part in millionths; '' is the default."""
    parts: Mapping[str, int]
    """Language → parts of one message (segments of an SMS)."""

    def price(self, country: Column, language: Column) -> Column:
        """The planned price of one person's message."""
        dear = {name: price for name, price in self.by_country.items() if name}
        price: Column = sa.literal(self.by_country.get("", 0), sa.BigInteger())
        if dear:
            price = sa.case(dear, value=country, else_=price)
        several = {language: n for language, n in self.parts.items() if n != 1}
        return price * sa.case(several, value=language, else_=1) if several else price


def purse_of(
    connection: Connection, rules: Rules, own: Budget | None, campaign_id: int, channel: str,
    parts: Mapping[str, int], now: Micros,
) -> Purse | None:  # fmt: skip
    """The purse of a campaign's messages on a channel; None where neither it nor the house has a budget."""
    budgets = [(rules.budget, None), (own, campaign_id)]
    left = [_left(connection, rules, budget, whose, now) for budget, whose in budgets if budget is not None]
    if not left:
        return None
    prices = {country: round(price * MILLION) for country, price in rules.costs.get(channel, {}).items()}
    return Purse(min(left), prices, parts)


def _left(connection: Connection, rules: Rules, budget: Budget, campaign_id: int | None, now: Micros) -> int:
    s = t.spent.c
    mine = [] if campaign_id is None else [s.campaign_id == campaign_id]
    since = "" if budget.per == "campaign" else quarter(period_start(rules.timezone, now, budget.per))
    spent = connection.scalar(sa.select(sa.func.sum(s.amount_micro)).where(s.period >= since, *mine))
    return int(budget.amount * MILLION) - int(spent or 0)


def quarter(at: Micros) -> str:
    """The quarter of an hour that holds the instant, as `ledger.spent` names it."""
    return f"{from_micros(at // _QUARTER * _QUARTER):%Y-%m-%dT%H:%M}"


def spend(connection: Connection, campaign_id: int, amount: int, at: Micros) -> None:
    """Add a planned cost; below zero it is given back."""
    if not amount:
        return
    s, period = t.spent.c, quarter(at)
    mine = t.spent.update().where(s.period == period, s.campaign_id == campaign_id)
    if not rowcount(connection.execute(mine.values(amount_micro=s.amount_micro + amount))):
        connection.execute(t.spent.insert().values(period=period, campaign_id=campaign_id, amount_micro=amount))


def priced(told: sa.CTE, purse: Purse) -> sa.CTE:
    """The rows with `price`, and `running`: what has been paid up to each; who falls due first is paid for first."""
    c = told.c
    pays = sa.and_(c.reason.is_(None), c.role == "treated")
    price = sa.case((pays, purse.price(c.country, c.language)), else_=0)
    rows = sa.select(*c, price.label("price")).offset(_NOUGHT).cte("priced")
    # By contact where they fall due together: those whom `plan` asks have no enrolment yet.
    order = [rows.c.due_at, rows.c.contact_id, rows.c.enrolment_id]
    running = sa.func.sum(rows.c.price).over(order_by=order, rows=(None, 0))
    return sa.select(*rows.c, running.label("running")).offset(_NOUGHT).cte("summed")
