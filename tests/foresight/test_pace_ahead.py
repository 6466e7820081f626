"""`plan` tells when the first and the last leave at the workspace's pace, as a worker's bucket will let them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.definition.limits import Pace
from carillon.delivery.pace_ahead import PaceAhead, pace_ahead
from carillon.delivery.take import Wanted, take
from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import outlook
from carillon.foresight.screen import as_json, sections
from carillon.kernel.clock import DAY, HOUR, SECOND
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.zones import ready_for_zones
from tests.delivery.ground import NOW, seed
from tests.delivery.test_pace import apply
from tests.shop import Shop, instant

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney:\n  - email: hello\n"


@pytest.mark.parametrize("pace", [Pace(600, 60), Pace(7, 1), Pace(40, 60), Pace(120, 86_400, grow=2.0)])
def test_the_forecast_is_what_a_worker_takes(store: Store, pace: Pace) -> None:
    """A worker that looks whenever the bucket lets it takes its first and its last batch at the instants foretold."""
    people, size = 200, min(1000, max(1, pace.n if pace.per_s == 1 else pace.n // 60))
    with store.read() as connection:
        told = pace_ahead(connection, "sendgrid", pace, [(NOW, people)], 1000, NOW)
    seed(store, people, size=size)
    apply(store, pace)
    at, taken = NOW, list[int]()
    for _ in range(3 * people):
        with store.write("ledger") as c:
            got = take(c, Wanted("w", ("sendgrid",), None, NOW + 9 * DAY, at, 100))
            c.execute(
                t.batch.update().where(t.batch.c.id.in_([b.id for b in got])).values(state="claimed", retry_at=None)
            )
            until = c.scalar(sa.select(sa.func.min(t.batch.c.retry_at)).where(t.batch.c.retry_at > at))
        taken += [at] * len(got)
        at = until or at + 1
    assert told == PaceAhead(first=taken[0], last=taken[-1], ahead=0)
    assert taken[0] == NOW


def test_who_is_ready_already_goes_first_and_nobody_leaves_before_due(store: Store) -> None:
    """50 stand before them: five seconds at ten a second; the last ten are due an hour later."""
    seed(store, 50, size=10)
    with store.read() as connection:
        told = pace_ahead(connection, "sendgrid", Pace(10, 1), [(NOW, 20), (NOW + HOUR, 10)], 1000, NOW)
    assert told == PaceAhead(first=NOW + 5 * SECOND, last=NOW + HOUR, ahead=50)


def test_what_takes_years_is_said_so(store: Store) -> None:
    with store.read() as connection:
        told = pace_ahead(connection, "sendgrid", Pace(60, 86_400), [(NOW, 1_000_000)], 1000, NOW)
    assert told == PaceAhead(NOW, None, 0)


def test_plan_tells_it(any_shop: Shop) -> None:
    """120 people, two a second at 120 a minute: the first at 09:00:00, the last 59 seconds later; those at night in the morning."""
    shop = any_shop
    shop.workspace("limits: {pace: {email: 120/min}, quiet_hours: {email: 21:00-08:00}}\n")
    shop.campaign("sale", SALE)
    shop.people(120)
    shop.contact("nora", timezone="America/New_York")
    ready_for_zones(shop.store)
    draft = shop.draft("sale")
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        seen = outlook(connection, ground, draft.contents)
    (first,) = seen.first_messages
    assert first.pace is not None
    assert first.pace.first == instant("2026-12-01 09:00")
    assert first.pace.last == instant("2026-12-01T08:00-05:00")
    lines = [str(line) for title, lines in sections(draft, seen) if title == "When" for line in lines]
    assert (
        "email.hello at 120 a minute: the first leaves Tue 01 Dec 2026 09:00 CET, the last Tue 01 Dec 2026 14:00 CET"
        in lines
    )
    assert as_json(draft, seen)["messages"][0]["last_leaves"] == "2026-12-01T13:00:00+00:00"  # type: ignore[index]


def test_without_a_pace_nothing_is_told(shop: Shop) -> None:
    shop.campaign("sale", SALE)
    shop.contact("ada")
    draft = shop.draft("sale")
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        (first,) = outlook(connection, ground, draft.contents).first_messages
    assert first.pace is None
