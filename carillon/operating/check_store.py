"""What `doctor` asks of the store: its files, its layout, what stands in it for a person to look at."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.holds import held_connectors
from carillon.kernel.clock import Micros, from_micros
from carillon.kernel.counting import counted
from carillon.kernel.time.zones import tzdata_version
from carillon.operating.archive import fault_of
from carillon.operating.check import Check
from carillon.operating.restored import mark_of
from carillon.operating.silence import silence
from carillon.operating.upgrade import layout_of
from carillon.plan.rules import Rules
from carillon.policy.coupons import supplies
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.migrate import HEADS, StoreTooNewError

LITTLE_SPACE, TOO_LITTLE_SPACE = 2_000_000_000, 200_000_000


def check_files(store: Store) -> Iterator[Check]:
    """On SQLite: are the files whole, and is there room for them to grow?"""
    if store.dialect != "sqlite":
        return
    for part, path in store.files().items():
        if fault := fault_of(path):
            yield Check("bad", f"file of {part}", f"{path} is damaged: {fault}", "restore a backup (carillon restore)")
    free = shutil.disk_usage(store.files()["ledger"].parent).free
    says = f"{free / 1e9:,.1f} GB free beside the store"
    if free < LITTLE_SPACE:
        yield Check(
            "bad" if free < TOO_LITTLE_SPACE else "warn", "disk", says, "make room: a full disk stops everything"
        )
    else:
        yield Check("ok", "disk", f"files whole, {says}")


def check_layout(store: Store) -> Check:
    """Does the store stand at the layout that this version knows?"""
    try:
        found = layout_of(store)
    except StoreTooNewError as fault:
        return Check("bad", "layout", str(fault), "install the newer version")
    if behind := [part for part, revision in found.items() if revision != HEADS[part]]:
        return Check(
            "bad", "layout", f"{', '.join(behind)} of the store is older than this version", "carillon upgrade"
        )
    return Check("ok", "layout", f"{store.dialect}, {', '.join(str(r) for r in found.values())}")


def check_zones(connection: Connection) -> Check:
    """Were the local times in the store made from the zone files that are installed here?"""
    stored = connection.scalar(sa.select(t.setting.c.value).where(t.setting.c.name == "tzdata"))
    here = tzdata_version()
    if stored is None or stored == here:
        return Check("ok", "time zones", f"edition {here}")
    return Check(
        "warn", "time zones", f"the store has edition {stored}, here is {here}",
        "install the same tzdata on all machines; the next run makes local times anew",
    )  # fmt: skip


def check_coupons(connection: Connection, rules: Rules) -> Iterator[Check]:
    """Do the pools of coupons have codes enough?"""
    for supply in supplies(connection, rules.coupons):
        says = f"{counted(supply.left, 'code')} left" + (
            f", below {supply.low:,}" if supply.is_low and supply.low else ""
        )
        do = f"carillon import coupons {supply.pool} FILE"
        yield Check("warn" if supply.is_low else "ok", f"coupons {supply.pool}", says, do)


def check_standing(connection: Connection, reporting: Collection[str], now: Micros) -> Iterator[Check]:
    """What waits in the store for a person: connectors on hold, a restore, silence."""
    held = held_connectors(connection)
    for connector, reason in held.items():
        yield Check(
            "bad", connector, f"takes nothing: {reason}", f"mend it, then: carillon resume --connector {connector}"
        )
    if mark := mark_of(connection):
        says = f"restored as of {from_micros(mark.taken_at):%Y-%m-%d %H:%M} UTC, everything is held"
        yield Check("bad", "restore", says, "carillon resume --after-restore")
    quiet = silence(connection, reporting, now)
    if quiet is not None:
        do = "look at the provider's webhook settings, at public_url and at the webhook's key"
        yield Check("warn", "feedback", f"{quiet.sentence} since {from_micros(quiet.since):%Y-%m-%d %H:%M} UTC", do)
    else:
        yield Check("ok", "feedback", "nothing is missed")
