"""`sql: "…"`: an analyst's own question, put to the store as a predicate, and tried before anything is built on it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from carillon.audience.moment import ConditionError, Expression, Predicate
from carillon.definition.analyst import RefusedSqlError, as_of, checked, is_query
from carillon.definition.conditions import Sql
from carillon.kernel.clock import Micros
from carillon.kernel.counting import counted
from carillon.store import tables
from carillon.store.engine import Store
from carillon.store.foreign import at_most, rows_of_text

PATIENCE_S = 10.0
"""So long a question may take when a campaign is planned."""
PATIENCE_OF_RUNS_S = 60.0
"""… and in a run, where the machine may have more to do."""


class AnalystFault(ConditionError):
    """SQL that the store could not answer; the sentence says where it stands and why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question found when it was tried."""

    sql: Sql
    people: int
    seconds: float

    @property
    def sentence(self) -> str:
        """For `plan`."""
        return _at(self.sql, f"sql finds {counted(self.people, 'contact')}, in {self.seconds:.1f} s")


def analyst_holds(text: str, contact_id: Expression, now: Micros) -> Predicate:
    """Does it hold of the contact? NULL is no; raises ConditionError for what may not stand there."""
    try:
        return _holds(checked(text), contact_id, now)
    except RefusedSqlError as refused:
        raise ConditionError(str(refused)) from None


def try_it(store: Store, sql: Sql, now: Micros, patience_s: float = PATIENCE_S) -> Answer:
    """Ask it once of everybody, on a connection that can write nothing; raises AnalystFault where that does not work."""
    began = time.monotonic()
    try:
        holds = _holds(checked(sql.text), tables.contact.c.id, now)
        with store.read() as connection, at_most(connection, patience_s):
            wrong = _wrong_shape(connection, as_of(sql.text, now)) if is_query(sql.text) else None
            people = 0 if wrong else connection.scalar(sa.select(sa.func.count(tables.contact.c.id)).where(holds)) or 0
            if is_query(sql.text) and not wrong and not people:
                wrong = _no_contacts(connection, as_of(sql.text, now))
    except RefusedSqlError as refused:
        raise AnalystFault(_at(sql, str(refused))) from None
    except SQLAlchemyError as fault:
        raise AnalystFault(_at(sql, f"sql: {_why(fault, time.monotonic() - began, patience_s)}")) from None
    if wrong:
        raise AnalystFault(_at(sql, f"sql: {wrong}"))
    return Answer(sql, people, time.monotonic() - began)


def _holds(text: str, contact_id: Expression, now: Micros) -> Predicate:
    """Never NULL, so that its opposite takes all others."""
    if is_query(text):
        ids = f"WITH yielded(id) AS ({as_of(text, now)}) SELECT id FROM yielded WHERE id IS NOT NULL"
        return contact_id.bool_op("IN")(sa.literal_column(f"({ids})"))
    contact, holds = tables.contact, sa.literal_column(f"({text})", sa.Boolean())
    return contact_id.in_(sa.select(contact.c.id).where(holds).correlate(None))


def _wrong_shape(connection: Connection, query: str) -> str | None:
    columns = rows_of_text(connection, f"SELECT * FROM ({query}) AS yielded LIMIT 0").keys()
    return None if len(columns) == 1 else f"it yields {len(columns)} columns; one is wanted, the contact's id"


def _no_contacts(connection: Connection, query: str) -> str | None:
    n = rows_of_text(connection, f"SELECT count(*) FROM ({query}) AS yielded").scalar_one()
    return f"it yields {counted(n, 'row')}, and none is the id of a contact (core.contact.id)" if n else None


def _why(fault: SQLAlchemyError, seconds: float, patience_s: float) -> str:
    """The database's own words, without values: they may name a person."""
    if seconds >= patience_s:
        return f"it took longer than {patience_s:g} s: ask less, or import the answer as a list"
    words = str(getattr(fault, "orig", None) or fault).splitlines()[0]
    return re.sub(r': ".*"$', "", words)


def _at(sql: Sql, sentence: str) -> str:
    return f"{sql.place}: {sentence}" if sql.place else sentence
