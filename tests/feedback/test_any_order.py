"""Order, repetition, division and lateness of the same feedback and events change nothing that is folded."""

from __future__ import annotations

import random
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold
from carillon.feedback.ingest import ingest_feedback
from carillon.feedback.model import Feedback
from carillon.kernel.clock import SECOND
from carillon.kernel.ids import hash64
from carillon.people.ingest import ArrivedEvent, ingest_events
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.feedback.ground import KEYS, NOON, RULES, Ground, report

PEOPLE, KINDS = ("ada", "bob"), ("processed", "delivered", "bounced", "dropped", "opened", "clicked", "complained",
                                 "unsubscribed", "unknown")  # fmt: skip
AGENTS = ("Mozilla/5.0", "Outlook-iOS/709", "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0")
Thing = Feedback | ArrivedEvent

reported = st.tuples(
    st.sampled_from((*KINDS, *("delivered", "clicked", "clicked") * 3)), st.integers(0, 1), st.integers(0, 15), st.integers(0, 2), st.sampled_from(AGENTS),
    st.sampled_from(("hard", "soft", "block")),
)  # fmt: skip
bought = st.tuples(st.sampled_from(PEOPLE), st.integers(0, 5), st.sampled_from((None, -500, 1990)))


# Its seed folds the click before the delivery comes that proves it a machine's.
LATE_DELIVERY = [("delivered", 0, 3, 0, AGENTS[2], "hard"), ("clicked", 0, 5, 0, AGENTS[2], "hard")]


def made(enrolments: list[int], reports: list[Any], purchases: list[Any]) -> list[Thing]:
    things: list[Thing] = []
    for kind, person, second, link, agent, bounce in reports:
        fields: dict[str, Any] = {"url": f"u{link}", "link": link} if kind == "clicked" else {}
        if kind == "bounced":
            fields["bounce"] = bounce
            fields["provider_ref"] = bounce  # another bounce of the same second is another report
        things.append(
            report(
                kind, enrolments[person], second, user_agent=agent if kind in ("opened", "clicked") else "", **fields
            )
        )
    things += [
        ArrivedEvent(NOON + second * SECOND, hash64(who, str(value)), "order_completed", who, value, "{}")
        for who, second, value in purchases
    ]
    return things


def take(ground: Ground, things: list[Thing], received: int) -> None:
    ingest_feedback(ground.store, [x for x in things if isinstance(x, Feedback)], KEYS, received)
    shopped = [x for x in things if isinstance(x, ArrivedEvent)]
    ingest_events(ground.store, shopped, source="test", history=False, received_at=received)


def folded(ground: Ground) -> dict[str, Any]:
    """Everything that others read, without the numbers that rows happened to get."""
    signal = t.signal.c
    same = (signal.kind, signal.contact_id, signal.node_id, signal.subject, signal.thing, signal.reason, signal.event_at,
            signal.event_hash)  # fmt: skip
    tables = {
        "stat": sa.select(t.contact_stat), "purchase": sa.select(t.purchase), "response": sa.select(t.response), "newest": sa.select(t.contact_response),
        "signal": sa.select(*same), "suppression": sa.select(t.suppression.c.address_key),
        "standing": sa.select(t.standing), "open": sa.select(t.arrival),
        "consent": sa.select(t.consent.c.contact_id, t.consent.c.topic, t.consent.c.state, t.consent.c.at),
    }  # fmt: skip
    return {name: sorted(map(repr, ground.rows(select))) for name, select in tables.items()}


def clean(store: Store) -> None:
    for part, tables in {
        "events": (
            t.intake,
            t.event,
            t.contact_event,
            t.arrival,
            t.signal,
            t.contact_stat,
            t.purchase,
            t.response,
            t.contact_response,
        ),
        "core": (t.consent, t.suppression, t.core_cursor),
    }.items():
        with store.write(part) as connection:  # type: ignore[arg-type]
            for table in tables:
                connection.execute(table.delete())
            if part == "core":
                connection.execute(t.standing.update().values(allow_bits=0, deny_bits=0, closed_bits=0))


@pytest.mark.parametrize("dialect", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    reports=st.lists(reported, min_size=5, max_size=30),
    purchases=st.lists(bought, max_size=6),
    seed=st.integers(0, 2**32),
)
@example(reports=LATE_DELIVERY, purchases=[], seed=6)
def test_any_order_folds_to_the_same_rows(
    shared_ground: dict[str, tuple[Ground, list[int]]],
    dialect: str,
    reports: list[Any],
    purchases: list[Any],
    seed: int,
) -> None:
    """Once in order and at once; then shuffled, repeated, cut into intakes and folded in between."""
    ground, enrolments = shared_ground[dialect]
    things = made(enrolments, reports, purchases)
    clean(ground.store)
    take(ground, things, NOON)
    fold(ground.store, NOON)
    apply_effects(ground.store, NOON, RULES)
    expected = folded(ground)

    clean(ground.store)
    chance = random.Random(seed)
    shuffled = things + chance.choices(things, k=len(things) // 2) if things else []
    chance.shuffle(shuffled)
    while shuffled:
        cut = chance.randint(1, len(shuffled))
        take(ground, shuffled[:cut], NOON)
        shuffled = shuffled[cut:]
        if chance.random() < 0.5:
            fold(ground.store, NOON)
            apply_effects(ground.store, NOON, RULES)
    fold(ground.store, NOON)
    apply_effects(ground.store, NOON, RULES)
    # A click that its late delivery proved a machine's had woken a reader in vain: signals only wake.
    assert folded(ground) == expected
