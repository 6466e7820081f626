"""Events that Carillon itself tells of contacts, and entries by them: `contact.*`, `subscribes`."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from carillon.advance.notices import tell_notices
from carillon.cli.import_ import import_group
from carillon.consent.standing import rules_of
from carillon.kernel.clock import SystemClock, from_micros
from carillon.people.importing import plan_import, run_import
from carillon.people.mapping import Source
from carillon.store import tables as t
from tests.shop import Shop

WELCOME = "entry: {event: contact.created}\njourney: [{email: hello}]\n"
SUBSCRIBES = "topic: %s\nentry: {subscribes: %s}\njourney: [{email: hello}]\n"


def told(shop: Shop) -> list[tuple[str, str, str]]:
    """(contact, event, topic/channel) of every event that was told, in the order of what happened."""
    ev, c = t.event.c, t.contact.c
    query = (
        sa.select(c.shop_id, ev.kind, ev.props)
        .join_from(t.event, t.contact, c.id == ev.contact_id)
        .where(ev.kind.like("contact.%"))
        .order_by(ev.occurred_at, ev.hash64.desc())
    )
    with shop.store.read() as connection:
        rows = connection.execute(query).all()
    return [
        (who, kind.removeprefix("contact."), "/".join(p[k] for k in sorted(p, reverse=True))) for who, kind, p in rows
    ]


def applied(shop: Shop, yaml: str, name: str = "welcome") -> Shop:
    shop.campaign(name, yaml)
    shop.apply()
    shop.run(name)
    shop.at(shop.clock.now() + 600_000_000)
    return shop


def import_contacts(shop: Shop, tmp_path: Path, *, enrol: bool = False) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("id,email,consent_email_offers\nimp,imp@example.com,yes\n", encoding="utf-8")
    workspace = shop.loaded.workspace
    plan = plan_import(
        "contacts", file, Source(), data=shop.loaded.data,
        topics=tuple(workspace.topics), rules=rules_of(workspace), workspace_zone=workspace.timezone,
        at=shop.clock.now(), history=not enrol,
    )  # fmt: skip
    run_import(shop.store, plan)


def test_a_new_contact_enters_by_contact_created_and_an_older_one_does_not(any_shop: Shop) -> None:
    """Whoever was made before the first apply, or is said to have been, is not new."""
    any_shop.contact("old")
    shop = applied(any_shop, WELCOME)
    shop.contact("new")
    shop.contact("synced", created_at=shop.clock.now() - 400 * 86_400_000_000)
    shop.run("welcome", "2026-11-02 12:11")
    assert shop.inbox == ["new"]


def test_who_subscribes_enters_once_whatever_they_say_again(any_shop: Shop) -> None:
    shop = applied(any_shop, SUBSCRIBES % ("offers", "offers"))
    shop.contact("ada", consent=("offers/email",))
    shop.contact("bob", consent=("news/email",))
    shop.run("welcome")
    shop.at("2026-11-02 12:20")
    shop.consent("ada", "offers/email")
    shop.consent("ada", "offers/email", "confirmed")
    shop.run("welcome")
    assert shop.inbox == ["ada"]
    assert [w for w in told(shop) if w[1] != "created"] == [
        ("ada", "subscribed", "offers/email"), ("bob", "subscribed", "news/email"),
    ]  # fmt: skip


def test_of_a_double_topic_only_the_confirmed_yes_subscribes(any_shop: Shop) -> None:
    shop = applied(any_shop, SUBSCRIBES % ("club", "club"))
    shop.contact("ada", consent=("club/email",))
    shop.run("welcome")
    assert shop.inbox == []
    shop.at("2026-11-02 12:30")
    shop.consent("ada", "club/email", "confirmed")
    shop.run("welcome")
    assert shop.inbox == ["ada"]


def test_leaving_is_told_of_whoever_was_in_and_of_an_assumed_topic_without_a_yes(any_shop: Shop) -> None:
    """A no to something that nobody had said yes to changes nothing; a second no neither."""
    shop = applied(any_shop, WELCOME)
    shop.contact("ada", consent=("offers/email",))
    shop.contact("bob", consent=())
    for minute, name, pair in ((20, "ada", "offers/email"), (21, "ada", "offers/email"), (22, "bob", "offers/sms"),
                               (23, "bob", "news/email")):  # fmt: skip
        shop.at(f"2026-11-02 12:{minute}")
        shop.consent(name, pair, "no")
    shop.run("welcome")
    assert [w for w in told(shop) if w[1] == "unsubscribed"] == [
        ("ada", "unsubscribed", "offers/email"), ("bob", "unsubscribed", "news/email"),
    ]  # fmt: skip


@pytest.mark.parametrize("campaign", [WELCOME, SUBSCRIBES % ("offers", "offers")])
def test_an_import_enrols_nobody_unless_it_is_told_to(any_shop: Shop, tmp_path: Path, campaign: str) -> None:
    """The events are there, as history; with `--enrol` the same file takes its people in."""
    shop = applied(any_shop, campaign)
    import_contacts(shop, tmp_path)
    shop.run("welcome")
    assert shop.inbox == []
    assert told(shop) == [("imp", "created", ""), ("imp", "subscribed", "offers/email")]


@pytest.mark.parametrize("campaign", [WELCOME, SUBSCRIBES % ("offers", "offers")])
def test_an_import_that_is_told_to_enrols(any_shop: Shop, tmp_path: Path, campaign: str) -> None:
    shop = applied(any_shop, campaign)
    import_contacts(shop, tmp_path, enrol=True)
    shop.run("welcome")
    assert shop.inbox == ["imp"]


def test_what_is_told_twice_is_one_event(any_shop: Shop) -> None:
    """Killed between the events and the notice that caused them, the next telling adds nothing."""
    shop = applied(any_shop, WELCOME)
    shop.contact("ada")
    with shop.store.read() as connection:
        notices = [row._asdict() for row in connection.execute(sa.select(t.notice))]
    assert tell_notices(shop.store, shop.clock.now()) == 3
    with shop.store.write("core") as connection:
        connection.execute(t.notice.insert(), notices)
    assert tell_notices(shop.store, shop.clock.now()) == 0
    shop.run("welcome")
    assert shop.inbox == ["ada"]


def test_the_import_command_says_how_many_may_enter_and_asks_before_it_writes(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what happened after the first apply and is not too late counts; a no imports nothing, `--yes` does not ask."""
    now = SystemClock().now()
    shop.at(now - 86_400_000_000 * 2)
    shop.contact("ada")
    applied(shop, "entry: {event: order_completed}\njourney: [{email: hello}]\n")
    file = tmp_path / "orders.csv"
    rows = [f"ada,{from_micros(now - hours * 3_600_000_000).isoformat()},o{hours},5" for hours in (1, 2, 30)]
    file.write_text("\n".join(["contact,occurred_at,order_id,total", *rows]), encoding="utf-8")
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    monkeypatch.setenv("CARILLON_WORKSPACE", str(shop.campaigns))
    command = ["events", str(file), "--event", "order_completed", "--enrol"]
    refused = CliRunner().invoke(import_group, command, input="n\n")
    assert (refused.exit_code, shop.count(t.event)) == (1, 3)  # what was told of Ada herself
    assert "at most 1 person of this file may enter welcome" in refused.output
    agreed = CliRunner().invoke(import_group, [*command, "--yes"])
    assert (agreed.exit_code, shop.count(t.event)) == (0, 6)
    shop.run("welcome", now + 1_000_000)
    assert shop.inbox == ["ada"]
