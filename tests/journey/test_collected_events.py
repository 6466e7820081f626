"""Entries that collect: several triggers are one enrolment, and `trigger.collected` lists them."""

from __future__ import annotations

from carillon.definition.load import load_workspace
from tests.shop import Shop, instant

VIEWS = """\
audience: everyone
entry: {event: product_viewed, %s}
journey: [{email: seen}]
"""
DATA = """\
contact: {}
events:
  product_viewed: {product_id: word, category: word, price: money, parts: [{name: word, price: money}]}
"""
SUBJECT = "{% for seen in trigger.collected %}{{ seen.product_id }}:{{ seen.price }} {% endfor %}"


def views(shop: Shop, entry: str, subject: str = SUBJECT) -> Shop:
    shop.write("data.yaml", DATA)
    shop.contact("ada")
    shop.contact("bob")
    shop.campaign("browse", VIEWS % entry, {"seen.yaml": f'subject: "{subject}"\ntexts: {{headline: Seen}}\n'})
    shop.apply()
    shop.run("browse")
    return shop


def view(shop: Shop, name: str, product: str, at: str, **more: str) -> None:
    shop.event(name, "product_viewed", f"2026-11-02 {at}", product_id=product, price="5.50", **more)


def subjects(shop: Shop) -> list[str]:
    return sorted(letter.text.split("\n")[0].strip() for letter in shop.mail.letters)


def test_what_is_seen_until_it_is_quiet_is_one_mail_newest_first_distinct_and_at_most_so_many(any_shop: Shop) -> None:
    """Six views of five products are one enrolment; the four newest products stand in it, each once, in money."""
    shop = views(any_shop, "idle: 4h, collect: {max: 4, of: product_id}, again: after 14d")
    shop.at("2026-11-02 13:00")
    for minute, product in enumerate(["p1", "p2", "p3", "p4", "p5", "p3"]):
        view(shop, "ada", product, f"12:1{minute}")
    view(shop, "bob", "p9", "12:20")
    shop.run("browse")
    shop.run("browse", "2026-11-02 17:00")
    assert subjects(shop) == ["p3:5.50 p5:5.50 p4:5.50 p2:5.50", "p9:5.50"]
    shop.run("browse", "2026-11-03 12:00")
    assert [(entry, n) for entry, _, n, _ in shop.waves()] == [("event:product_viewed", 2)]


def test_for_ends_a_collection_however_busy_somebody_is(any_shop: Shop) -> None:
    """Two hours from the first trigger on, though something happens all the time; what comes then is the next one's."""
    shop = views(any_shop, "idle: 1h, collect: {for: 2h}, again: always")
    for at, product in [("12:30", "p1"), ("13:10", "p2"), ("13:50", "p3"), ("14:25", "p4")]:
        shop.at(f"2026-11-02 {at}")
        view(shop, "ada", product, at)
        due = shop.run("browse").next_due
    assert due == instant("2026-11-02 14:30")
    shop.run("browse", "2026-11-02 14:30")
    assert subjects(shop) == ["p4:5.50 p3:5.50 p2:5.50 p1:5.50"]
    shop.at("2026-11-02 14:50")
    view(shop, "ada", "p5", "14:50")
    shop.run("browse", "2026-11-02 15:50")
    assert subjects(shop) == ["p4:5.50 p3:5.50 p2:5.50 p1:5.50", "p5:5.50"]


def test_for_without_idle_waits_for_its_end_only(any_shop: Shop) -> None:
    shop = views(any_shop, "collect: {for: 2h}")
    shop.at("2026-11-02 13:00")
    view(shop, "ada", "p1", "12:30")
    view(shop, "ada", "p2", "13:00")
    assert shop.run("browse").next_due == instant("2026-11-02 14:30")
    shop.run("browse", "2026-11-02 14:30")
    assert subjects(shop) == ["p2:5.50 p1:5.50"]


def test_only_triggers_that_fit_are_listed(any_shop: Shop) -> None:
    """`where` is asked of the newest for the entry, and of each for the list; what lacks the field is not shown."""
    shop = views(any_shop, "where: {category: shoes}, idle: 1h, collect: {of: product_id}")
    shop.at("2026-11-02 12:30")
    view(shop, "ada", "hat", "12:11", category="hats")
    view(shop, "ada", "boot", "12:10", category="shoes")
    shop.event("ada", "product_viewed", "2026-11-02 12:12", category="shoes", price="1")
    view(shop, "ada", "sandal", "12:13", category="shoes")
    shop.run("browse")
    shop.run("browse", "2026-11-02 13:13")
    assert subjects(shop) == ["sandal:5.50 boot:5.50"]


def test_a_collection_needs_an_end_and_a_field_that_is_there(shop: Shop) -> None:
    """Without idle or for nothing says when it is over; a misspelt field is named."""
    shop.write("data.yaml", DATA)
    shop.campaign("browse", VIEWS % "collect: {max: 4, of: produkt_id}")
    told = [problem.message for problem in load_workspace(shop.campaigns).errors]
    assert any("nothing says when the collection is over" in message for message in told)
    assert any("produkt_id" in message for message in told)
