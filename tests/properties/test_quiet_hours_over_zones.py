"""Nothing leaves in quiet hours on the contact's clock, and it leaves as soon as they end: in every zone, at gaps and overlaps.

Reserve decides; the answer is checked by walking the clock of `zoneinfo` minute by minute (over
the pinned time zones: the machine may know older rules), which knows nothing of our SQL.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from carillon.definition.limits import Limits
from carillon.delivery.reserve import reserve
from carillon.journey.ground import load_ground
from carillon.kernel.channels import Channel
from carillon.kernel.clock import DAY, HOUR, MINUTE, Micros, to_micros
from carillon.kernel.time.periods import zone_periods
from carillon.kernel.time.windows import Window, union_is_whole_day
from carillon.kernel.time.zones import zone as pinned
from carillon.kernel.time.zones import zone_names
from carillon.plan.apply import ContentOf, apply_plan
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import Store
from carillon.store.localtime import ensure_zone_periods
from tests.conftest import StoreMaker
from tests.properties.test_no_window_over_cap import RULES, plan_of

FIRST, LAST = (to_micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (2015, 2037))
ALL = tuple(sorted(zone_names()))
CHANGES: dict[str, list[Micros]] = {zone: [] for zone in ALL}
for period in zone_periods(ALL):
    if FIRST < period.from_utc < LAST:
        CHANGES[period.zone].append(period.from_utc)
NAMED = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana", "Asia/Beirut",
         "America/Santiago", "Pacific/Chatham")  # fmt: skip
SAMPLED = (*NAMED, *random.Random(4).sample([zone for zone in ALL if CHANGES[zone] and zone not in NAMED], 42))

TIMES = st.integers(0, 1439).map(lambda minute: time(minute // 60, minute % 60))
WINDOWS = st.lists(TIMES, min_size=2, max_size=2, unique=True).map(lambda pair: Window(*pair))
SEVERAL = st.lists(WINDOWS, min_size=1, max_size=2).filter(lambda windows: not union_is_whole_day(windows))


@dataclass(frozen=True)
class Answer:
    """What reserve decided for one person."""

    may_leave: bool
    until: Micros
    """The first instant at which it may (no more)."""


class Town:
    """One person in each zone, and a campaign that reaches them all."""

    def __init__(self, store: Store, zones: Sequence[str]) -> None:
        self.store, self.zones, self.thing = store, zones, 0
        content = ContentOf("email.hello", "", "email", "en", "hash", "{}", "[]")
        apply_plan(
            store,
            plan_of("sale", "offers", Channel.EMAIL, 50),
            RULES,
            [content],
            planned_audience=None,
            by="test",
            at=0,
        )
        people = list(enumerate(zones, start=1))
        with store.write("core") as c:
            ensure_zone_periods(c, zones)
            insert_rows(
                c, t.contact, ("id", "shop_id", "email_key", "zone", "zone_source", "h31", "created_at", "attrs"),
                ((i, f"c{i}", f"c{i}@x.example", zone, "contact", i, 0, "{}") for i, zone in people),
            )  # fmt: skip
            insert_rows(
                c, t.standing,
                ("contact_id", "zone", "language", "country", "allow_bits", "deny_bits", "closed_bits", "h31"),
                ((i, zone, "en", "", 3, 0, 0, i) for i, zone in people),
            )  # fmt: skip

    def decide(self, now: Micros, windows: Sequence[Window]) -> dict[str, Answer]:
        """Everybody is due at this instant; the first window is the house's, the second the step's."""
        self.thing += 1
        rows = [(1, 1, 1, i, str(self.thing), 1, now, now, now) for i in range(1, len(self.zones) + 1)]
        columns = ("campaign_id", "version_id", "wave_id", "contact_id", "thing", "node_id", "arrived_at", "due_at",
                   "entered_at")  # fmt: skip
        with self.store.write("ledger") as c:
            for table in (t.send, t.batch, t.enrolment):
                c.execute(table.delete())
            insert_rows(c, t.enrolment, columns, rows)
        ground = load_ground(self.store, "sale", now)
        plan = ground.applied.plan
        node = replace(plan.messages[0], quiet_hours=windows[1] if len(windows) > 1 else None)
        applied = replace(ground.applied, versions={1: replace(plan, nodes=(node,))})
        rules = replace(ground.rules, limits=Limits(quiet_hours={Channel.EMAIL: windows[0]}))
        reserve(
            [replace(ground, applied=applied, rules=rules)], max_people={"post": 1}
        )  # a batch each: not_after is theirs
        return dict(self._answers())

    def _answers(self) -> Iterator[tuple[str, Answer]]:
        e, s, b = t.enrolment.c, t.send.c, t.batch.c
        with self.store.read() as connection:
            rows = connection.execute(
                sa.select(e.contact_id, e.due_at, b.state, b.not_after)
                .outerjoin_from(t.enrolment, t.send, s.enrolment_id == e.id)
                .outerjoin(t.batch, b.id == s.batch_id)
            ).all()
        assert len(rows) == len(self.zones)
        for contact_id, due_at, state, not_after in rows:
            assert state in (None, "ready")
            yield self.zones[contact_id - 1], Answer(state == "ready", not_after if state == "ready" else due_at)


def is_quiet(zone: ZoneInfo, at: Micros, windows: Sequence[Window]) -> bool:
    """Does the zone's clock stand in one of the windows? By the plainest comparison there is."""
    local = datetime.fromtimestamp(at // 1_000_000, zone)
    minute = local.hour * 60 + local.minute
    for window in windows:
        start, end = (one.hour * 60 + one.minute for one in (window.start, window.end))
        if (start <= minute < end) if start < end else (minute >= start or minute < end):
            return True
    return False


def first_allowed(zone: ZoneInfo, now: Micros, windows: Sequence[Window]) -> Micros:
    """The first minute outside the windows; a window that has begun lasts to its end, though the clock be put back before it."""
    before, is_put_back = datetime.fromtimestamp(0, zone).replace(tzinfo=None), False
    for at in range(now // MINUTE * MINUTE, now + 3 * DAY, MINUTE):
        clock = datetime.fromtimestamp(at // 1_000_000, zone).replace(tzinfo=None)
        is_put_back = clock < before or (is_put_back and not is_quiet(zone, at, windows))
        if not is_quiet(zone, at, windows) and not is_put_back:
            return at
        before = clock
    raise AssertionError("these windows leave no minute free")


def check(zone_name: str, now: Micros, windows: Sequence[Window], answer: Answer) -> str | None:
    """What is wrong with the answer, minute by minute; None if nothing is."""
    zone, minutes = pinned(zone_name), range(now // MINUTE * MINUTE + MINUTE, now + 3 * DAY, MINUTE)
    where = f"{zone_name} at {datetime.fromtimestamp(now / 1e6, UTC)} with {', '.join(map(str, windows))}"
    if is_quiet(zone, now, windows) == answer.may_leave:
        return f"{where}: leaves in quiet hours" if answer.may_leave else f"{where}: waits outside them"
    if answer.may_leave:
        late = next((at for at in minutes if at < answer.until and is_quiet(zone, at, windows)), None)
        if answer.until <= now:
            return f"{where}: may leave, and never"
        return None if late is None else f"{where}: may still leave at {datetime.fromtimestamp(late / 1e6, UTC)}"
    earliest = first_allowed(zone, now, windows)
    return None if earliest == answer.until else f"{where}: waits until {answer.until}, allowed from {earliest}"


def asked(store: Store, zones: Sequence[str], most: int) -> None:
    """So many random instants near changed clocks, with random windows, for everybody at once."""
    town, seen = Town(store, zones), Counter[str]()
    near = st.sampled_from([(zone, at) for zone in zones for at in CHANGES[zone]])

    @settings(phases=[Phase.generate], max_examples=most, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        near, st.integers(-26 * HOUR // MINUTE, 26 * HOUR // MINUTE), st.sampled_from([0, 0, 1, 59_999_999]), SEVERAL
    )
    def holds(change: tuple[str, Micros], minutes: int, more: int, windows: list[Window]) -> None:
        now = change[1] + minutes * MINUTE + more
        answers = town.decide(now, windows)
        assert [w for zone, answer in answers.items() if (w := check(zone, now, windows, answer))] == []
        seen.update("may" if answer.may_leave else "waits" for answer in answers.values())

    holds()
    assert min(seen["may"], seen["waits"]) > most, "these instants never met quiet hours"


@pytest.mark.parametrize(
    ("dialect", "most"), [("sqlite", 20), pytest.param("postgresql", 5, marks=pytest.mark.postgres)]
)
def test_nothing_leaves_in_quiet_hours_in_fifty_zones(dialect: str, most: int, new_store: StoreMaker) -> None:
    """Over midnight, stricter at a step, in the hour that comes twice and before the one that never comes."""
    asked(new_store(dialect), SAMPLED, most)


@pytest.mark.soak
@pytest.mark.parametrize("dialect", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_nothing_leaves_in_quiet_hours_in_any_zone(dialect: str, new_store: StoreMaker) -> None:
    """All zones that there are, at random changes of their clocks."""
    asked(new_store(dialect), ALL, 300)


@pytest.mark.soak
def test_nor_at_any_change_of_any_clock(new_store: StoreMaker) -> None:
    """Each change of each zone from 2024 to 2030, a few minutes and hours around it, with windows that end there."""
    first, last = (to_micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (2024, 2031))
    town, chance, wrong = Town(new_store("sqlite"), ALL), random.Random(1), list[str]()
    for at in sorted({at for changes in CHANGES.values() for at in changes if first <= at < last}):
        for shift in (-90 * MINUTE, -MINUTE, 0, 30 * MINUTE, 5 * HOUR):
            start, end = (time(hour, chance.choice((0, 30))) for hour in (chance.randint(18, 23), chance.randint(0, 9)))
            answers = town.decide(at + shift, [Window(start, end)])
            wrong += [w for z, a in answers.items() if (w := check(z, at + shift, [Window(start, end)], a))]
    assert wrong == []
