"""The fold: one row a contact that says everything policy asks of consent, addresses and suppression.

It is computed from contact, consent and suppression as a set, in the transaction that changes them, so it is never
behind. Nothing else writes `standing`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from carillon.consent.permissions import Pair, known_bits
from carillon.definition.model import Workspace
from carillon.kernel.channels import INVALID_ADDRESS, NO_ADDRESS, SUPPRESSED, TO_PEOPLE, Channel, closed_bit, shared_bit
from carillon.kernel.ids import hash64
from carillon.store import tables as t
from carillon.store.bulk import many, upsert_select
from carillon.store.engine import Store

_RULES_SETTING = "standing.rules"
_ADDRESS = {Channel.EMAIL: t.contact.c.email_key, Channel.SMS: t.contact.c.phone_key}
"""The column that holds a channel's address; other channels have none yet."""
_SAME_LANGUAGE = {"no": "nb"}
"""Norwegian without a choice is Bokmål (ISO 639-1)."""

_A_YES_ASKS = "a yes asks"
"""In the fingerprint since a yes to a `double` topic no longer takes back the confirmed one before it."""

COLUMNS = ("contact_id", "zone", "language", "country", "allow_bits", "deny_bits", "closed_bits", "shared_bits", "h31")


@dataclass(frozen=True, slots=True)
class StandingRules:
    """What the fold takes from the workspace."""

    languages: Mapping[str, tuple[str, ...]]
    double: frozenset[Pair]
    """Topic and channel where only a confirmed yes suffices."""

    @property
    def fingerprint(self) -> str:
        """Changes when standing rows folded before may be wrong."""
        spoken = sorted((tag, sorted(countries)) for tag, countries in self.languages.items())
        twice = repr(sorted(self.double)) + (_A_YES_ASKS if self.double else "")
        return str(hash64(next(iter(self.languages)), repr(spoken), twice))


def rules_of(workspace: Workspace) -> StandingRules:
    """The fold's rules of a workspace."""
    double = {
        (topic.name, channel.value)
        for topic in workspace.topics.values()
        for channel, kind in topic.consent.items()
        if kind == "double"
    }
    return StandingRules(workspace.languages, frozenset(double))


def ensure_folded(store: Store, rules: StandingRules) -> bool:
    """Fold everybody anew where languages or `double` topics have changed since the last time; say whether it was done."""
    with store.read() as connection:
        stored = connection.execute(sa.select(t.setting.c.value).where(t.setting.c.name == _RULES_SETTING)).scalar()
    if stored == rules.fingerprint:
        return False
    with store.write("core") as connection:
        refold(connection, rules)
        connection.execute(t.setting.delete().where(t.setting.c.name == _RULES_SETTING))
        connection.execute(t.setting.insert().values(name=_RULES_SETTING, value=rules.fingerprint))
    return True


def refold(connection: Connection, rules: StandingRules, contact_ids: Iterable[int] | None = None) -> int:
    """Fold these contacts, or all; returns how many rows were written. Call it in the transaction of the change."""
    only = None if contact_ids is None else list(contact_ids)
    if only is not None and not only:
        return 0
    bits = known_bits(connection)
    said = _said(only, rules.double & bits.keys()).subquery("said")
    select = sa.select(
        t.contact.c.id,
        t.contact.c.zone,
        effective_language(rules.languages),
        sa.func.coalesce(t.contact.c.country, ""),
        sa.func.coalesce(said.c.allow_bits, 0),
        sa.func.coalesce(said.c.deny_bits, 0),
        _closed_bits(),
        _shared_bits(),
        t.contact.c.h31,
    ).select_from(t.contact.outerjoin(said, said.c.contact_id == t.contact.c.id))
    if only is not None:
        select = select.where(t.contact.c.id.in_(many(only)))
    written = upsert_select(connection, t.standing, COLUMNS, select, key=("contact_id",))
    if only is not None:
        _tell_the_others(connection, only)
    return written


def _tell_the_others(connection: Connection, contact_ids: list[int]) -> None:
    """Who has the address of one of these shares it from now on. (Who no longer does may be told so later: it is asked.)"""
    s, mine, other = t.standing.c, t.contact, t.contact.alias("other")
    for channel, address in _ADDRESS.items():
        bit = shared_bit(channel)
        same = sa.and_(other.c[address.name] == address, other.c.id != mine.c.id)
        others = sa.select(other.c.id).join_from(mine, other, same).where(mine.c.id.in_(many(contact_ids)))
        told = t.standing.update().where(s.contact_id.in_(others), s.shared_bits.bitwise_and(bit) == 0)
        connection.execute(told.values(shared_bits=s.shared_bits + bit))


def _said(only: list[int] | None, double: Collection[Pair]) -> sa.Select[Any]:
    """Per contact: the bits of a yes that suffices, and of a no; of each pair the newest word rules.

    Where two are needed a yes only asks to be confirmed: it neither suffices nor takes back what was confirmed.
    """
    c = t.consent.c
    pair, newest_first = (c.contact_id, c.topic, c.channel), (c.at.desc(), c.id.desc())
    age = sa.func.row_number().over(partition_by=pair, order_by=newest_first)
    columns: list[Any] = [*pair, c.state, age.label("age")]
    if double:
        asks = sa.case((sa.and_(c.state == "yes", sa.or_(*(is_pair(c, one) for one in sorted(double)))), 1), else_=0)
        place = sa.func.row_number().over(partition_by=pair, order_by=(asks, *newest_first))
        columns += [asks.label("asks"), place.label("place")]
    said = sa.select(*columns)
    if only is not None:
        said = said.where(c.contact_id.in_(many(only)))
    row = said.subquery("row").c
    speaks = sa.and_(row.place == 1, row.asks == 0) if double else row.age == 1
    suffices = sa.and_(speaks, row.state != "no")
    denies = sa.and_(row.age == 1, row.state == "no")
    mask = bit_mask(t.permission.c.bit)
    return (
        sa.select(
            row.contact_id,
            sa.cast(sa.func.sum(sa.case((suffices, mask), else_=0)), sa.BigInteger).label("allow_bits"),
            sa.cast(sa.func.sum(sa.case((denies, mask), else_=0)), sa.BigInteger).label("deny_bits"),
        )
        .join(t.permission, sa.and_(t.permission.c.topic == row.topic, t.permission.c.channel == row.channel))
        .where(sa.or_(row.age == 1, speaks))
        .group_by(row.contact_id)
    )


def is_pair(consent: ReadOnlyColumnCollection[str, Any], pair: Pair) -> sa.ColumnElement[bool]:
    """Is the row about this topic and channel?"""
    return sa.and_(consent.topic == pair[0], consent.channel == pair[1])


def bit_mask(bit: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """`1 << bit` in 64 bits on both stores."""
    return sa.cast(1, sa.BigInteger).bitwise_lshift(sa.cast(bit, sa.Integer))


def effective_language(languages: Mapping[str, tuple[str, ...]]) -> sa.ColumnElement[str]:
    """The contact's language where the workspace speaks it, else that of the country, else the first."""
    given, default = t.contact.c.language, next(iter(languages))
    cases: list[tuple[sa.ColumnElement[bool], Any]] = [(given == tag, sa.literal(tag)) for tag in languages]
    cases += [(given.like(f"{tag}-%"), sa.literal(tag)) for tag in languages if "-" not in tag]
    cases += [(given == other, sa.literal(tag)) for other, tag in _SAME_LANGUAGE.items() if tag in languages]
    cases += [
        (t.contact.c.country.in_(countries), sa.literal(tag)) for tag, countries in languages.items() if countries
    ]
    return sa.case(*cases, else_=sa.literal(default))


def _shared_bits() -> sa.ColumnElement[int]:
    """The channels whose address somebody else has, too."""
    total: sa.ColumnElement[int] = sa.literal(0)
    for channel, address in _ADDRESS.items():
        other = t.contact.alias(f"other_{channel}")
        same = sa.and_(other.c[address.name] == address, other.c.id != t.contact.c.id)
        is_shared = sa.exists(sa.select(sa.literal(1)).select_from(other).where(same).correlate(t.contact))
        total = total + sa.case((is_shared, shared_bit(channel)), else_=0)
    return sa.cast(total, sa.BigInteger)


def _closed_bits() -> sa.ColumnElement[int]:
    total: sa.ColumnElement[int] = sa.literal(0)
    for channel in TO_PEOPLE:
        total = total + _closed_for(channel)
    return sa.cast(total, sa.BigInteger)


def _closed_for(channel: Channel) -> sa.ColumnElement[int]:
    """No address or an invalid one, and suppressed or not."""
    if channel not in _ADDRESS:
        return sa.literal(closed_bit(NO_ADDRESS, channel))
    address, invalid = _ADDRESS[channel], closed_bit(NO_ADDRESS, channel)  # the bit of `contact.invalid_bits`
    is_suppressed = sa.exists().where(
        t.suppression.c.address_key == address,
        t.suppression.c.channel == channel.value,
        t.suppression.c.lifted_at.is_(None),
    )
    no_address = sa.case(
        (address.is_not(None), 0),
        (t.contact.c.invalid_bits.bitwise_and(invalid) != 0, closed_bit(INVALID_ADDRESS, channel)),
        else_=closed_bit(NO_ADDRESS, channel),
    )
    return no_address + sa.case((is_suppressed, closed_bit(SUPPRESSED, channel)), else_=0)
