"""Events from files: typed, exact to the cent, once, and arriving as an intake of the past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.kernel.clock import to_micros
from carillon.people.files import CHUNK
from carillon.people.importing import SMALL
from carillon.people.ingest import ArrivedEvent, ingest_events, money_fields
from carillon.store import tables as t

E = t.event.c
FILE = """\
contact,at,order_id,total,shipping
ada,2026-03-29 01:59:59,o1,19.90,4
ada,2026-03-29 03:00,o2,-19.90,
bob,2026-01-05T10:00:00+02:00,o3,0.1,0
ada,1790000000,o4,1e3,
ada,yesterday,o5,5,
cid,2026-01-01 00:00,o6,0.001,
"""


def at(*parts: int) -> int:
    return to_micros(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type]


def test_money_and_instants_are_exact(shop: Any) -> None:
    """Clock times are Berlin's, over the change to summer time; a refund is negative; a part of a cent is refused."""
    shop.imports("contacts", "id\nada\n")
    result = shop.imports("events", FILE, event="order_completed")
    assert (result.refused, result.reasons) == (2, {"at": 1, "total": 1})
    assert result.counts == {"new": 4, "known": 0, "of unknown contacts": 1}
    assert shop.rows(E.occurred_at, E.contact_id, E.orphan_key, E.value_cents, order_by=E.occurred_at) == [
        (at(2026, 1, 5, 8), None, "bob", 10),
        (at(2026, 3, 29, 0, 59, 59), 1, None, 1990),
        (at(2026, 3, 29, 1), 1, None, -1990),
        (1_790_000_000_000_000, 1, None, 100_000),
    ]
    assert shop.rows(E.props, order_by=E.occurred_at)[1] == ({"order_id": "o1", "shipping": 400, "total": 1990},)


def test_an_import_is_an_intake_of_the_past_with_one_arrival_a_row(shop: Any) -> None:
    """A repeated import finds all there and leaves no empty intake; one new row arrives alone."""
    shop.imports("events", FILE, event="order_completed")
    again = shop.imports("events", FILE, event="order_completed")
    assert again.counts["new"] == 0
    shop.imports("events", FILE + "ada,2026-02-02,o7,1,\n", event="order_completed")
    i, a = t.intake.c, t.arrival.c
    assert [(n, history) for n, history in shop.rows(i.n, i.history, order_by=i.id)] == [(4, 1), (1, 1)]
    with shop.store.read() as connection:
        arrivals = connection.execute(
            sa.select(a.intake_id, sa.func.count()).group_by(a.intake_id).order_by("intake_id")
        )
        assert [n for _, n in arrivals] == [4, 1]


def test_the_sources_id_tells_two_events_apart(shop: Any) -> None:
    """Two like orders with ids are two; without ids they are one."""
    alike = "a,2026-01-01,{}\n"
    result = shop.imports(
        "events", "contact,at,id\n" + alike.format("x1") + alike.format("x2") + alike.format("x1"), event="cart_emptied"
    )
    assert result.counts["new"] == 2
    without = shop.imports("events", "contact,at\n" + "b,2026-01-01\n" * 3, event="cart_emptied")
    assert without.counts == {"new": 1, "known": 2, "of unknown contacts": 3}


def test_kinds_and_lists_of_things_from_json_lines(shop: Any) -> None:
    """Each line by its own kind; an unknown kind and an undeclared property are refused by name."""
    lines = [
        '{"event": "order_completed", "contact": "a", "at": 1790000000, "products": [{"product_id": 7, "price": 1.5, "x": 1}]}',
        '{"event": "cart_emptied", "contact": "a", "at": 1790000000, "properties": {"cart_id": "k"}}',
        '{"event": "cart_emptyed", "contact": "a", "at": 1790000000}',
        '{"event": "cart_emptied", "contact": "a", "at": 1790000000, "total": 5}',
        "{",
    ]
    result = shop.imports("events", "\n".join(lines), "in.jsonl")
    assert (result.counts["new"], result.refused) == (2, 3)
    refused = (shop.folder / "in.jsonl.refused.csv").read_text()
    assert 'event: no \'cart_emptyed\' in data.yaml; did you mean ""cart_emptied""?' in refused
    assert "cart_emptied has no property 'total'" in refused
    assert shop.rows(E.props, order_by=E.kind) == [
        ({"cart_id": "k"},), ({"products": [{"product_id": "7", "price": 150}]},),
    ]  # fmt: skip


def test_a_large_file_is_read_by_two_processes_in_order(sqlite_shop: Any) -> None:
    """Every row comes in once, refused rows keep their numbers, and what the first process read itself is written at once."""
    n = SMALL["events"] + CHUNK + 7
    rows = "".join(f"c{k % 100},{1_700_000_000 + k},{k}.00\n" for k in range(n))
    bad = "c1,never,1\n"
    result = sqlite_shop.imports("events", f"contact,at,total\n{rows}{bad}", event="order_completed")
    assert (result.rows, result.counts["new"], result.refused) == (n + 1, n, 1)
    assert (sqlite_shop.folder / "in.csv.refused.csv").read_text().splitlines()[1].startswith(f'{n + 2},"at: ')
    assert sqlite_shop.rows(sa.func.sum(E.value_cents)) == [(100 * n * (n - 1) // 2,)]
    assert sqlite_shop.rows(t.intake.c.n, order_by=t.intake.c.id) == [(SMALL["events"],), (CHUNK + 7,)]


def test_a_stopped_import_leaves_whole_commits_and_goes_on(sqlite_shop: Any) -> None:
    """Ctrl-C after the first commit: it stays, and a second run brings the rest."""
    text = "contact,at\n" + "".join(f"c,{1_700_000_000 + k}\n" for k in range(45_000))

    def stop(done: float, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sqlite_shop.imports("events", text, event="cart_emptied", progress=stop, commit_rows=20_000)
    assert sqlite_shop.rows(t.intake.c.n) == [(20_000,)]
    again = sqlite_shop.imports("events", text, event="cart_emptied")
    assert again.counts == {"new": 25_000, "known": 20_000, "of unknown contacts": 45_000}


def test_events_of_now_may_enrol(shop: Any) -> None:
    """The web's intakes are no history."""
    result = ingest_events(
        shop.store, [ArrivedEvent(1, 2, "cart_emptied", "a", None, "{}")], source="track", history=False, received_at=9
    )
    assert (result.inserted, result.orphans, shop.rows(t.intake.c.history, t.intake.c.received_at)) == (1, 1, [(0, 9)])


def test_the_store_knows_of_which_property_an_events_money_is(shop: Any) -> None:
    """Told by the import; who does not tell it, or tells another, makes it unknown for good: sums then read the events."""
    with shop.store.read() as connection:
        assert money_fields(connection) == {}
    shop.imports("events", FILE, event="order_completed")
    with shop.store.read() as connection:
        assert money_fields(connection) == {"order_completed": "total"}
    strange = ArrivedEvent(1, 1, "order_completed", "ada", 500, "{}")
    for money in ({"order_completed": "shipping"}, {"order_completed": "total"}):
        ingest_events(shop.store, [strange], source="test", history=True, received_at=1, money=money)
        with shop.store.read() as connection:
            assert money_fields(connection) == {}


CURRENCIES = """contact,at,event,total,currency
ada,2026-01-05T09:00:00Z,order_completed,10,USD
ada,2026-01-05T09:00:01Z,order_completed,11,eur
ada,2026-01-05T09:00:02Z,order_completed,12,
ada,2026-01-05T09:00:03Z,order_completed,13,CHF
"""


@pytest.mark.parametrize("is_told", [False, True])
def test_money_keeps_its_currency_and_one_without_a_rate_is_refused(shop: Any, is_told: bool) -> None:
    """Our own stands as none, whether the file is of one kind or of several; the fifth line's reason says what to do."""
    shop.imports("contacts", "id\nada\n")
    text = CURRENCIES if not is_told else CURRENCIES.replace("event,", "").replace("order_completed,", "")
    result = shop.imports("events", text, event="order_completed" if is_told else None)
    assert shop.rows(E.value_cents, E.currency, order_by=E.occurred_at) == [(1000, "USD"), (1100, None), (1200, None)]
    refused = (shop.folder / "in.csv.refused.csv").read_text().splitlines()
    assert (result.refused, result.reasons) == (1, {"currency": 1})
    assert refused[1].startswith("5,currency: no rate for 'CHF'; give it one in workspace.yaml: rates: {CHF: …}")
