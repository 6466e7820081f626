"""No window of any person ever holds more than its cap: random histories, late campaigns, two that reserve at once."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.definition.conditions import EVERYONE
from carillon.definition.entries import ByApi
from carillon.definition.limits import Cap, KeepFree, Limits
from carillon.delivery.reserve import reserve
from carillon.journey.ground import Ground, load_ground
from carillon.kernel.channels import Channel
from carillon.kernel.clock import HOUR, MINUTE, Micros, from_micros
from carillon.kernel.durations import Span
from carillon.plan.apply import ContentOf, apply_plan
from carillon.plan.compile import rules_to_json
from carillon.plan.model import MessageNode, Plan
from carillon.plan.rules import Rules, SenderRule, TopicRule
from carillon.policy.scan import PUNCTUAL
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import Store
from carillon.store.localtime import ensure_zone_periods
from tests.conftest import StoreMaker

START: Micros = 1_793_400_000_000_000  # a Saturday in October 2026, before the clocks of Europe are changed
ZONES = ("Europe/Berlin", "Pacific/Auckland")
PEOPLE = 2
TOPICS = {
    name: TopicRule(name, True, {"": name}, {"email": "assumed", "sms": "assumed"}) for name in ("offers", "news")
}
SENDERS = (SenderRule("mail", "email", "post"), SenderRule("text", "sms", "phone"))
RULES = Rules("Acme", "Europe/Berlin", "EUR", "", "https://t.example", ("en",), {}, TOPICS, SENDERS)

CAMPAIGNS = (
    ("sale", "offers", Channel.EMAIL, 50), ("text", "offers", Channel.SMS, 60), ("paper", "news", Channel.EMAIL, 50),
    ("vip", "offers", Channel.EMAIL, 80),
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """At `after` later a campaign takes somebody in who was due `late` ago; then these campaigns reserve, at once."""

    after: Micros
    enrols: Sequence[tuple[int, int, Micros]]
    """(campaign, person, late)."""
    reserving: Sequence[int]
    hand_over: float
    """Which share of the ready batches is handed over afterwards."""


SPANS = st.sampled_from([Span(seconds=s) for s in (3600, 6 * 3600, 86_400, 3 * 86_400)])
CAPS = st.lists(
    st.builds(
        Cap,
        max=st.integers(1, 3),
        per=st.one_of(SPANS, st.sampled_from(["day", "week", "month"])),
        channel=st.sampled_from([None, Channel.EMAIL, Channel.SMS]),
        topic=st.sampled_from([None, None, "offers", "news"]),
        wait_at_most=st.sampled_from([None, None, Span(seconds=86_400)]),
        keep_free=st.sampled_from([None, None, KeepFree(1, 80)]),
    ),
    min_size=1,
    max_size=3,
)
GAPS = st.sampled_from([MINUTE, MINUTE, 8 * MINUTE, 20 * MINUTE, HOUR, 5 * HOUR, 23 * HOUR, 25 * HOUR])
LATE = st.sampled_from([0, 0, 5 * MINUTE, 14 * MINUTE, 14 * MINUTE, 40 * MINUTE, 30 * HOUR])
STEPS = st.lists(
    st.builds(
        Step,
        after=GAPS,
        enrols=st.lists(st.tuples(st.integers(0, 3), st.integers(1, PEOPLE), LATE), min_size=1, max_size=6),
        reserving=st.sampled_from([(0, 1), (2, 3), (0, 3), (1, 2), (3, 0), (0,)]),
        hand_over=st.sampled_from([0.0, 0.5, 1.0, 1.0]),
    ),
    min_size=2,
    max_size=7,
)


def plan_of(name: str, topic: str, channel: Channel, priority: int) -> Plan:
    node = MessageNode(f"{channel}.hello", None, channel, "hello")
    return Plan(
        campaign=name, title=name, topic=topic, marketing=True, state="live", entries=(ByApi(Span(seconds=86_400)),),
        audience=EVERYONE, nodes=(node,), priority=priority, global_holdout=False,
    )  # fmt: skip


def prepared(store: Store) -> Store:
    """Two people in two zones, four campaigns on two channels and two topics."""
    for name, topic, channel, priority in CAMPAIGNS:
        content = ContentOf(f"{channel}.hello", "", str(channel), "en", f"hash {name}", "{}", "[]")
        apply_plan(
            store, plan_of(name, topic, channel, priority), RULES, [content], planned_audience=None, by="test", at=0
        )
    ids = range(1, PEOPLE + 1)
    with store.write("core") as c:
        ensure_zone_periods(c, ZONES)
        insert_rows(
            c, t.contact, ("id", "shop_id", "email_key", "phone_key", "zone", "zone_source", "h31", "created_at", "attrs"),
            ((i, f"c{i}", f"c{i}@x.example", f"+4917{i:07}", ZONES[i - 1], "contact", i, 0, "{}") for i in ids),
        )  # fmt: skip
        insert_rows(
            c, t.standing, ("contact_id", "zone", "language", "country", "allow_bits", "deny_bits", "closed_bits", "h31"),
            ((i, ZONES[i - 1], "en", "", 3, 0, 0, i) for i in ids),
        )  # fmt: skip
    return store


@cache
def _store(url: str) -> Store:
    return Store(url)


def reserve_elsewhere(url: str, campaign: str, now: Micros) -> int:
    """Reserve in the process that this runs in; its id."""
    reserve([load_ground(_store(url), campaign, now)], max_people={})
    return os.getpid()


class History:
    """One random history on a store that was prepared before; the ledger is emptied first."""

    def __init__(self, store: Store, caps: Sequence[Cap], processes: ProcessPoolExecutor | None = None) -> None:
        self.store, self.caps, self.now, self.things = store, caps, START, 0
        self.processes, self.pids = processes, set[int]()
        with store.write("ledger") as c:
            for table in (t.send, t.batch, t.enrolment):
                c.execute(table.delete())
        with store.write("core") as c:
            rules = replace(RULES, limits=Limits(caps=tuple(caps)))
            c.execute(t.setting.update().where(t.setting.c.name == "rules").values(value=rules_to_json(rules)))

    def take(self, step: Step) -> None:
        self.now += step.after
        self._enrol(step)
        if self.processes is None:
            self._at_once([load_ground(self.store, CAMPAIGNS[i][0], self.now) for i in step.reserving])
        else:
            names = [CAMPAIGNS[i][0] for i in step.reserving]
            asked = [self.processes.submit(reserve_elsewhere, self.store.url, name, self.now) for name in names]
            self.pids |= {one.result(60) for one in asked}
        self._hand_over(step.hand_over)

    def _enrol(self, step: Step) -> None:
        """Campaigns, versions and nodes were made in one order, so they have one number."""
        rows = [
            (number + 1, number + 1, 1, person, str(self.things + i), number + 1, *[self.now - late] * 3)
            for i, (number, person, late) in enumerate(step.enrols)
        ]
        self.things += len(rows)
        columns = (
            "campaign_id",
            "version_id",
            "wave_id",
            "contact_id",
            "thing",
            "node_id",
            "arrived_at",
            "due_at",
            "entered_at",
        )
        with self.store.write("ledger") as c:
            insert_rows(c, t.enrolment, columns, rows)

    def _at_once(self, grounds: Sequence[Ground]) -> None:
        failed: list[BaseException] = []

        def run(ground: Ground) -> None:
            try:
                reserve([ground], max_people={})
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=(ground,)) for ground in grounds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []

    def _hand_over(self, share: float) -> None:
        """As claim and settlement would; a quarter of the batches is refused."""
        b = t.batch.c
        with self.store.write("ledger") as c:
            ready = list(c.scalars(sa.select(b.id).where(b.state == "ready").order_by(b.id)))
            for batch_id in ready[: round(len(ready) * share)]:
                state = ("accepted", "accepted", "unsure", "closed")[batch_id % 4]
                c.execute(t.batch.update().where(b.id == batch_id).values(state=state, claimed_at=self.now))
                if batch_id % 5 == 0:
                    c.execute(t.send.update().where(t.send.c.batch_id == batch_id).values(outcome="rejected"))

    def sent(self) -> dict[int, list[tuple[Micros, str, str]]]:
        """Person → (where it stands, channel, topic) of what left or may still leave, by itself in Python."""
        s, b, c = t.send.c, t.batch.c, t.campaign.c
        topics = {name: topic for name, topic, _, _ in CAMPAIGNS}
        with self.store.read() as connection:
            rows = connection.execute(
                sa.select(s.contact_id, s.due_at, b.claimed_at, s.channel, c.name)
                .join_from(t.send, t.batch, b.id == s.batch_id)
                .join(t.campaign, c.id == b.campaign_id)
                .where(s.outcome.is_(None), b.state != "withdrawn")
            ).all()
        found: dict[int, list[tuple[Micros, str, str]]] = defaultdict(list)
        for person, due_at, claimed_at, channel, name in rows:
            left_at = self.now if claimed_at is None else claimed_at
            stands = due_at if left_at <= due_at + PUNCTUAL else left_at
            found[person].append((stands, channel, topics[name]))
        return found

    def broken(self) -> list[str]:
        """Every window of every person that holds more than its cap."""
        found = []
        for person, sends in self.sent().items():
            for cap in self.caps:
                mine = sorted(
                    at for at, channel, topic in sends if cap.channel in (None, channel) and cap.topic in (None, topic)
                )
                for most, at in _fullest(cap, mine, ZONES[person - 1]):
                    if most > cap.max:
                        found.append(f"person {person} at {from_micros(at)}: {most} of {cap}")
        return found


def _fullest(cap: Cap, instants: Sequence[Micros], zone: str) -> list[tuple[int, Micros]]:
    if isinstance(cap.per, Span):
        long = cap.per.seconds * 1_000_000
        return [(sum(at <= other < at + long for other in instants), at) for at in instants]
    periods: dict[tuple[int, ...], list[Micros]] = defaultdict(list)
    for at in instants:
        local = datetime.fromtimestamp(at / 1e6, ZoneInfo(zone))
        key = {
            "day": (local.year, local.month, local.day), "week": tuple(local.isocalendar()[:2]),
            "month": (local.year, local.month),
        }[cap.per]  # fmt: skip
        periods[key].append(at)
    return [(len(same), same[0]) for same in periods.values()]


DIALECTS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_window_of_any_person_exceeds_a_cap(dialect: str, new_store: StoreMaker) -> None:
    """Random caps, campaigns up to a day late, hand-overs that fail, lag or are unsure; two reserve at once."""
    histories(prepared(new_store(dialect)), 50)


@pytest.mark.soak
@pytest.mark.parametrize("dialect", DIALECTS)
def test_nor_in_very_many_histories(dialect: str, new_store: StoreMaker) -> None:
    """The same question, for as long as one likes."""
    histories(prepared(new_store(dialect)), int(os.environ.get("CARILLON_SOAK_EXAMPLES", "3000")))


@pytest.mark.parametrize(
    ("dialect", "most"), [("sqlite", 8), pytest.param("postgresql", 8, marks=pytest.mark.postgres)]
)
def test_nor_when_two_processes_reserve_at_once(dialect: str, most: int, new_store: StoreMaker) -> None:
    """What holds two threads apart holds two processes apart: SQLite's lock on the file, PostgreSQL's advisory lock."""
    in_two_processes(prepared(new_store(dialect)), most)


@pytest.mark.soak
@pytest.mark.parametrize("dialect", DIALECTS)
def test_nor_when_two_processes_reserve_very_often(dialect: str, new_store: StoreMaker) -> None:
    in_two_processes(prepared(new_store(dialect)), 300)


def in_two_processes(store: Store, most: int) -> None:
    """So many random histories, each reserve in one of two processes."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        for _ in range(8):  # both find the same two people with one slot each
            history = History(store, [Cap(max=1, per=Span(seconds=86_400))], processes)
            history.take(Step(MINUTE, [(0, 1, 0), (3, 1, 0), (0, 2, 0), (3, 2, 0)], (0, 3), hand_over=0))
            assert history.broken() == []
            assert sum(map(len, history.sent().values())) == 2
        assert len(histories(store, most, processes)) == 2


def histories(store: Store, most: int, processes: ProcessPoolExecutor | None = None) -> set[int]:
    """So many random histories; raises where one breaks a cap. The ids of other processes that reserved in them."""
    decided: Counter[str] = Counter()
    pids: set[int] = set()

    @settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CAPS, STEPS)
    def holds(caps: list[Cap], steps: list[Step]) -> None:
        history = History(store, caps, processes)
        for step in steps:
            history.take(step)
        assert history.broken() == []
        pids.update(history.pids)
        with store.read() as connection:
            decided.update(str(one) for one in connection.execute(sa.select(t.send.c.outcome)).scalars())

    holds()
    assert min(decided["None"], decided["skipped:capped"]) > most / 4, "these histories never met a cap"
    return pids
