"""What the sends of a pass take on SQLite: pages are full, though rows come in their order."""

from __future__ import annotations

from tests.dbstat import asked_of_pages
from tests.policy.test_quiet_hours import reserved
from tests.shop import Shop

PEOPLE = 5_000
SALE = "audience: everyone\nentry: {at: 2026-11-02 12:00}\njourney: [{email: sale}]\n"


def test_the_pages_of_sends_are_filled_up(shop: Shop) -> None:
    shop.people(PEOPLE)
    shop.campaign("sale", SALE)
    shop.force("sale", planned=PEOPLE)
    shop.at("2026-11-02 12:00")
    reserved(shop, "sale")
    assert empty(shop) < 0.08  # written in one go an eighth of each page is left empty


def test_everybody_has_one_send_in_the_batch_of_their_place(any_shop: Shop) -> None:
    any_shop.people(25)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    any_shop.at("2026-11-02 12:00")
    reserved(any_shop, "sale")
    assert any_shop.sends("email.sale") == {f"p{number:04}": "ready" for number in range(1, 26)}
    assert any_shop.violations() == []


def empty(shop: Shop) -> float:
    """Of the pages of the sends and their indexes the share that holds nothing."""
    [share] = asked_of_pages(
        shop.store.files()["ledger"],
        "SELECT 1.0 * sum(unused) / sum(pgsize) FROM dbstat"
        " WHERE pagetype = 'leaf' AND name IN ('send', 'ix_send_batch', 'ix_send_contact')",
    )
    return float(share)
