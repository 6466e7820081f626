"""`plan` shows one worked example for each wait, and a run keeps to it."""

from __future__ import annotations

from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import outlook
from carillon.kernel.clock import from_micros
from carillon.store.zones import ready_for_zones
from tests.shop import DATA, Shop

SERIES = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - email: one
  - wait: {days: 2, at: 18:00}
  - choose:
      - if: {clicked: one}
        then: [{wait: {until: monday, at: 09:00}}, {email: two}]
      - otherwise: {exit: silent}
"""


def examples(shop: Shop, name: str) -> list[tuple[str, str, str]]:
    draft = shop.draft(name)
    ready_for_zones(shop.store)
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        found = outlook(connection, ground, draft.contents).waits
    return [(w.step_id, *(f"{from_micros(at):%a %d %b %H:%M}" for at in (w.arrives, w.goes_on))) for w in found]


def test_each_wait_has_an_example_on_the_way_of_one_person(any_shop: Shop) -> None:
    """From the entry at 09:00 in Berlin: two days later at 18:00, then the next Monday at 09:00 (UTC here)."""
    any_shop.contact("ada", timezone="Europe/Berlin")
    any_shop.campaign("series", SERIES)
    assert examples(any_shop, "series") == [
        ("wait.email.one", "Tue 01 Dec 08:00", "Thu 03 Dec 17:00"),
        ("wait.clicked.one", "Thu 03 Dec 17:00", "Mon 07 Dec 08:00"),
    ]
    any_shop.apply()
    any_shop.run_to("series", "2026-12-01 10:00")
    assert any_shop.due("ada") == "2026-12-03 17:00"


def test_a_contacts_own_date_is_shown_with_a_real_contact(shop: Shop) -> None:
    """Where nobody has the date there is no example, and none is invented."""
    shop.write("data.yaml", DATA.replace("points: number", "points: number, birthday: date"))
    wait = "{until: {date: birthday}, at: 09:00, if_past: go_on}"
    shop.campaign(
        "b",
        f"audience: everyone\nentry: {{at: 2026-12-01 09:00}}\njourney: [{{email: a}}, {{wait: {wait}}}, {{email: b}}]\n",
    )
    shop.contact("ada", timezone="Europe/Berlin")
    assert examples(shop, "b") == []
    shop.contact("bob", timezone="Europe/Berlin", birthday="2026-12-24")
    assert examples(shop, "b") == [("wait.email.a", "Tue 01 Dec 08:00", "Thu 24 Dec 08:00")]
