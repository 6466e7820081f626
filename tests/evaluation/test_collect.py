from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from carillon.audience.moment import Moment
from carillon.definition.conditions import FieldTest, Same
from carillon.definition.model import Goal
from carillon.evaluation import exposed
from carillon.evaluation.collect import collect
from carillon.evaluation.model import ArmFigures
from carillon.evaluation.moments import Moments
from carillon.experiment.buckets import wave_bucket
from carillon.experiment.split import sample_name
from carillon.kernel.clock import DAY
from carillon.kernel.durations import Span
from carillon.kernel.ids import h31
from carillon.store import tables as t
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import Store

CAMPAIGN, NODE, OTHER_NODE, SPLIT = 1, 10, 11, 12
SENT_AT = 100 * DAY
GOAL = Goal("order_completed", Span(seconds=5 * 86_400), value="total")


@dataclass
class Field:
    """A store with sends, responses and orders written directly, as an engine would have left them."""

    store: Store
    numbers: Any = field(default_factory=lambda: count(1))

    def send(self, arm: str = "", state: str = "accepted", *, role: str = "treated", node: int = NODE) -> int:
        """A new contact with an enrolment and one send in `state`; returns its number, contact and enrolment alike."""
        n = next(self.numbers)
        with self.store.write("core") as connection:
            connection.execute(t.standing.insert().values(contact_id=n, zone="UTC", language="de", h31=h31(str(n))))
        with self.store.write("ledger") as connection:
            connection.execute(
                t.enrolment.insert().values(
                    id=n, campaign_id=CAMPAIGN, version_id=1, wave_id=1, contact_id=n, role=role, arrived_at=1,
                    entered_at=SENT_AT - DAY, trigger_at=SENT_AT - DAY, trigger_hash=-n,
                )
            )  # fmt: skip
            batch = None
            if state in ("accepted", "unsure", "closed", "ready"):
                batch = connection.execute(
                    t.batch.insert().values(
                        campaign_id=CAMPAIGN, node_id=node, state=state, due_at=1, decided_at=1,
                        claimed_at=None if state == "ready" else SENT_AT,
                    )
                ).inserted_primary_key[0]  # fmt: skip
            connection.execute(
                t.send.insert().values(
                    node_id=node, enrolment_id=n, contact_id=n, arm=arm, due_at=1, decided_at=SENT_AT,
                    batch_id=batch, outcome=None if batch else state,
                )
            )  # fmt: skip
        return n

    def passage(self, n: int, branch: str) -> None:
        with self.store.write("ledger") as connection:
            connection.execute(t.passage.insert().values(node_id=SPLIT, enrolment_id=n, branch=branch, at=SENT_AT))

    def respond(self, n: int, node: int = NODE, **at: int) -> None:
        with self.store.write("events") as connection:
            connection.execute(t.response.insert().values(node_id=node, enrolment_id=n, contact_id=n, **at))

    def event(self, n: int, at: int, kind: str = "order_completed", *, key: int | None = None, **props: Any) -> None:
        with self.store.write("events") as connection:
            connection.execute(
                t.event.insert().values(
                    occurred_at=at,
                    hash64=key or 1_000 + next(self.numbers),
                    kind=kind,
                    contact_id=n,
                    intake_id=1,
                    props=props,
                )
            )
            lay_by_contact(connection, "events.event")

    def figures(self, select: Any, *arms: str, goal: Goal | None = GOAL) -> tuple[ArmFigures, ...]:
        moment = Moment(now=SENT_AT + 30 * DAY, dialect=self.store.dialect, timezone="UTC")
        with self.store.read() as connection:
            return collect(connection, select, arms, [NODE, OTHER_NODE], goal, moment)


@pytest.fixture
def shop(store: Store) -> Field:
    return Field(store)


def test_sent_and_unsure_are_exposed_and_nobody_else(shop: Field) -> None:
    """Accepted, unsure and closed count; ready, skipped, rejected and ghosts do not."""
    for state in ("accepted", "unsure", "closed", "ready", "skipped:capped", "rejected"):
        shop.send("a", state)
    shop.send("a", "ghost")
    a, b = shop.figures(exposed.of_test(NODE), "a", "b")
    assert (a.exposed, b.exposed) == (3, 0)
    assert b == ArmFigures("b", 0, 0, 0, 0, 0, 0, 0, Moments(0, 0.0, 0.0))


def test_responses_count_people_and_keep_machines_apart(shop: Field) -> None:
    """One delivered, one opened and clicked, one hidden behind a proxy."""
    shop.respond(shop.send("a"), delivered_at=1)
    shop.respond(shop.send("a"), delivered_at=1, first_open=2, first_click=3, opens=9, clicks=7, machine_open=1)
    shop.respond(shop.send("a"), delivered_at=1, machine_open=2, machine_click=2)
    (a,) = shop.figures(exposed.of_test(NODE), "a", goal=None)
    assert (a.delivered, a.opens, a.hidden_opens, a.clicks, a.conversions) == (3, 1, 1, 1, 0)


def test_orders_count_within_the_window_once_and_refunds_reduce(shop: Field) -> None:
    """The first counts as conversion, values add up, an order reported twice is one, a refund is taken off."""
    one, two, three = (shop.send("a") for _ in range(3))
    shop.event(one, SENT_AT, order_id="before", total=1)
    shop.event(one, SENT_AT + 1, order_id="1", total=5_000)
    shop.event(one, SENT_AT + 2, order_id="1", total=5_000)
    shop.event(one, SENT_AT + DAY, order_id="2", total=1_000)
    shop.event(one, SENT_AT + 2 * DAY, order_id="1", total=-2_000)
    shop.event(one, SENT_AT + 5 * DAY + 1, order_id="3", total=7)
    shop.event(two, SENT_AT + 5 * DAY, total=300)
    shop.event(two, SENT_AT + 5 * DAY, total=300)
    shop.event(three, SENT_AT + 1, kind="cart_updated", total=9)
    (a,) = shop.figures(exposed.of_test(NODE), "a")
    assert (a.conversions, a.orders) == (2, 4)
    assert a.revenue == Moments(3, 4_600.0, 4_000.0**2 + 600.0**2)


def test_a_goal_can_ask_for_properties_and_for_the_same_thing(shop: Field) -> None:
    """Only the order of the cart that started the enrolment, and only over 20."""
    n = shop.send("a")
    shop.event(n, SENT_AT - DAY, "cart_updated", key=-n, cart_id="c1")
    shop.event(n, SENT_AT + 1, cart_id="c1", total=2_500)
    shop.event(n, SENT_AT + 2, cart_id="c2", total=9_900)
    shop.event(n, SENT_AT + 3, cart_id="c1", total=1_000)
    goal = Goal(
        "order_completed", Span(seconds=86_400), "total",
        where=(FieldTest("total", "money", "over", 2_000),), same=(Same("cart_id", "cart_id"),),
    )  # fmt: skip
    (a,) = shop.figures(exposed.of_test(NODE), "a", goal=goal)
    assert (a.orders, a.revenue.sum) == (1, 2_500.0)


def test_treated_and_held_are_compared_from_the_first_send_or_ghost(shop: Field) -> None:
    """Intention to treat: the held person's orders count from the ghost on."""
    held, treated = shop.send(state="ghost", role="held_global"), shop.send()
    shop.event(held, SENT_AT + 1, total=100)
    shop.event(treated, SENT_AT + 1, total=250)
    shop.respond(treated, delivered_at=1, first_click=2)
    control, mailed = shop.figures(exposed.of_holdout(CAMPAIGN), "held", "treated")
    assert (control.exposed, control.revenue.sum, control.clicks) == (1, 100.0, 0)
    assert (mailed.exposed, mailed.revenue.sum, mailed.clicks) == (1, 250.0, 1)
    from_entry = shop.figures(exposed.of_holdout(CAMPAIGN, from_entry=True), "held", "treated")
    assert [figures.exposed for figures in from_entry] == [1, 1]


def test_a_split_counts_everybody_who_came_to_it(shop: Field) -> None:
    """The arm without any message is an arm like the others."""
    mailed, skipped, nothing = shop.send(), shop.send(state="skipped:capped"), shop.send(state="exited")
    for n, branch in ((mailed, "mail"), (skipped, "mail"), (nothing, "none")):
        shop.passage(n, branch)
    shop.respond(mailed, delivered_at=1)
    shop.respond(mailed, OTHER_NODE, delivered_at=1, first_click=5)
    shop.event(nothing, SENT_AT + 1, total=100)
    mail, none = shop.figures(exposed.of_split(SPLIT), "mail", "none")
    assert (mail.exposed, mail.delivered, mail.clicks, mail.conversions) == (2, 1, 1, 0)
    assert (none.exposed, none.clicks, none.conversions) == (1, 0, 1)


def test_the_rest_that_got_the_leader_is_no_part_of_the_test(shop: Field) -> None:
    """With the experiment's name only its sample is counted, by wave if asked."""
    people = [shop.send("a") for _ in range(40)]
    name = sample_name("sale/email.sale")
    drawn = [n for n in people if wave_bucket(name, 1, h31(str(n))) < 4_000]
    assert 0 < len(drawn) < 40
    select = exposed.of_test(NODE, experiment="sale/email.sale", sample=4_000, wave_id=1)
    assert [figures.exposed for figures in shop.figures(select, "a")] == [len(drawn)]
    assert shop.figures(exposed.of_test(NODE, wave_id=2), "a")[0].exposed == 0
