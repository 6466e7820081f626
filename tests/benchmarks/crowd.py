"""A shop of a million: contacts with names and four products each, consents, suppressions, and what they got this week."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from carillon.consent.permissions import assign_bits
from carillon.kernel.clock import DAY, HOUR, Micros
from carillon.kernel.ids import h31
from carillon.store import tables as t
from carillon.store.bulk import insert_rows, insert_select
from carillon.store.engine import Store
from tests.shop import Shop

WORKSPACE = """\
name: Acme
timezone: Europe/Berlin
currency: EUR
address: Acme GmbH, Hauptstr. 1, 10115 Berlin
languages: {en: [GB, US], de: [DE]}
public_url: https://t.acme.example
senders:
  email: {connector: sendgrid, from: Acme <hello@acme.example>}
limits:
  caps: [{channel: email, max: 4, per: 7d, when_full: skip}]
topics:
  offers: {kind: marketing, name: Offers, consent: {email: explicit}}
"""
DATA = """\
contact:
  tier: {one_of: [basic, silver, gold]}
  city: word
  points: number
  size: word
  birthday: date
  picks: [{name: word, price: money, page: word}]
"""
CAMPAIGN = """\
topic: offers
audience: {contact: {tier: [silver, gold]}}
entry: {at: 2026-11-02 12:00}
journey: [{email: picks}]
"""
LETTER = """\
<h1>{{ contact.first_name | default: "Hello" }}, four for you</h1>
{% for pick in contact.picks %}<p><a href="https://acme.example/{{ pick.page }}">{{ pick.name }}</a> {{ pick.price }}</p>
{% endfor %}<p><a href="https://acme.example/sale">All offers</a></p>
<p>{{ brand.address }} <a href="{{ links.unsubscribe }}">Leave</a></p>
"""
SUBJECT = "subject: \"{{ contact.first_name | default: 'Hello' }}, four for you\"\n"
PLAIN = """\
{{ contact.first_name | default: "Hello" }}, four for you: https://acme.example/picks

{{ brand.address }} {{ links.unsubscribe }}
"""
SENT_BEFORE = 3
"""Mails that each of them got in the week before: the window of the cap."""
_FIRST = ("Ada", "Bo", "Cleo", "Dörte", "Émile", "Fatma", "Göran", "Hanna", "Ivo", "Jürgen")
_CITIES = ("Berlin", "London", "Leeds", "Hamburg", "Bristol", "Köln", "Boston", "Bremen")


def crowd(store: Store, folder: Path, people: int) -> Shop:
    """`people` who get the mail of the campaign `picks`, which is applied and due now, and 4 % more who may not."""
    shop = Shop(store, folder)
    shop.write("workspace.yaml", WORKSPACE)
    shop.write("data.yaml", DATA)
    words = {"picks.yaml": SUBJECT, "picks.html": LETTER, "picks.txt": PLAIN}
    shop.campaign("picks", CAMPAIGN, words)
    _people(store, people, shop.clock.now())
    shop.force("picks", planned=people)
    _week(store, people, shop.clock.now())
    _settle_down(store)
    return shop


def _people(store: Store, people: int, now: Micros) -> None:
    """One in a hundred more is suppressed, one has withdrawn consent, and two are in no audience."""
    extra = people // 100
    with store.write("core") as c:
        bit = 1 << assign_bits(c, [("offers", "email")])["offers", "email"]
        insert_rows(
            c, t.contact,
            ("id", "shop_id", "email_key", "country", "zone", "zone_source", "h31", "created_at", "attrs"),
            _contacts(people, people + 4 * extra, now),
        )  # fmt: skip
        insert_rows(
            c, t.consent, ("contact_id", "topic", "channel", "state", "source", "evidence", "at"),
            ((i, "offers", "email", "no" if people + extra < i <= people + 2 * extra else "yes", "form", "", now - DAY)
             for i in range(1, people + 4 * extra + 1)),
        )  # fmt: skip
        insert_rows(
            c, t.suppression, ("address_key", "channel", "reason", "at"),
            ((_address(i), "email", "complaint", now - DAY) for i in range(people + 1, people + extra + 1)),
        )  # fmt: skip
        k = t.contact.c
        is_suppressed = sa.exists().where(t.suppression.c.address_key == k.email_key)
        said_yes = sa.exists().where(t.consent.c.contact_id == k.id, t.consent.c.state == "yes")
        rows = sa.select(
            k.id, k.zone, sa.literal("en"), k.country, sa.case((said_yes, bit), else_=0),
            sa.case((said_yes, 0), else_=bit), sa.case((is_suppressed, _suppressed_bit()), else_=_no_phone_bit()), k.h31,
        ).order_by(k.id)  # fmt: skip
        names = ("contact_id", "zone", "language", "country", "allow_bits", "deny_bits", "closed_bits", "h31")
        insert_select(c, t.standing, names, rows)


def _suppressed_bit() -> int:
    from carillon.kernel.channels import SUPPRESSED, Channel, closed_bit

    return closed_bit(SUPPRESSED, Channel.EMAIL) | _no_phone_bit()


def _no_phone_bit() -> int:
    from carillon.kernel.channels import NO_ADDRESS, Channel, closed_bit

    return closed_bit(NO_ADDRESS, Channel.SMS)


def _address(number: int) -> str:
    return f"{_FIRST[number % 7].lower()}.{number}@mail{number % 40}.example"


def _contacts(people: int, total: int, now: Micros) -> Iterator[tuple[object, ...]]:
    catalogue = [
        json.dumps({"name": f"Shoe {n} for {_CITIES[n % 8]}", "price": 1990 + n, "page": f"p/{n}"}, ensure_ascii=False)
        for n in range(1000)
    ]  # fmt: skip
    zones = ("Europe/Berlin", "Europe/London", "America/New_York")
    for number in range(1, total + 1):
        residue = h31(f"c{number}")
        picks = ",".join(catalogue[(residue + 37 * k * (residue % 11 + 1)) % 1000] for k in range(4))
        tier = "basic" if number > people + 2 * (people // 100) else ("silver", "gold")[number % 2]
        attrs = (
            f'{{"first_name":"{_FIRST[number % 10]}{number % 8000}","last_name":"Example","city":"{_CITIES[number % 8]}",'
            f'"tier":"{tier}","points":{residue % 900},"size":"{36 + number % 12}","birthday":"1980-0{1 + number % 9}-11",'
            f'"picks":[{picks}]}}'
        )
        yield (
            number, f"c{number}", _address(number), ("DE", "GB", "US")[number % 3], zones[number % 3], "country",
            residue, now - 300 * DAY, attrs,
        )  # fmt: skip


def _week(store: Store, people: int, now: Micros) -> None:
    """Three mails of another campaign, handed over in thousands, a day apart; who got them is done there."""
    with store.write("core") as c:
        c.execute(t.campaign.insert().values(id=900, name="news", first_applied_at=now - 30 * DAY))
        c.execute(t.node.insert().values(id=900, campaign_id=900, step_id="email.news", kind="message"))
    for number in range(SENT_BEFORE):
        sent_at = now - (number + 1) * DAY - HOUR
        base = number * people
        with store.write("ledger") as c:
            insert_rows(
                c, t.enrolment,
                ("id", "campaign_id", "version_id", "wave_id", "contact_id", "arrived_at", "state", "exit_code", "ended_at", "entered_at"),
                ((base + i, 900, 900, 900 + number, i, sent_at, "done", "finished", sent_at, sent_at) for i in range(1, people + 1)),
            )  # fmt: skip
            first = base // 1000 + 1
            insert_rows(
                c, t.batch,
                ("id", "campaign_id", "node_id", "language", "channel", "sender", "connector", "n", "due_at", "decided_at", "state", "claimed_at", "begun_at", "settled_at"),
                ((first + at // 1000, 900, 900, "en", "email", "email", "sendgrid", min(1000, people - at), sent_at, sent_at, "accepted", sent_at, sent_at, sent_at)
                 for at in range(0, people, 1000)),
            )  # fmt: skip
            e = t.enrolment.c
            batch_id = sa.literal(first) + (e.id - base - 1) / 1000
            if c.dialect.name == "postgresql":
                batch_id = sa.cast(sa.func.floor(batch_id), sa.BigInteger)
            else:
                batch_id = sa.cast(batch_id, sa.Integer)
            rows = sa.select(
                sa.literal(900), e.id, e.contact_id, sa.literal("email", t.send.c.channel.type), sa.literal(sent_at, sa.BigInteger),
                batch_id,
            ).where(e.id > base).order_by(e.id)  # fmt: skip
            names = ("node_id", "enrolment_id", "contact_id", "channel", "due_at", "batch_id")
            insert_select(c, t.send, names, rows)
    if store.dialect == "postgresql":
        with store.write("ledger") as c:
            for table in ("enrolment", "batch"):
                c.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('ledger.{table}', 'id'), (SELECT max(id) FROM ledger.{table}))")  # fmt: skip


def _settle_down(store: Store) -> None:
    """As a store lies that has been in use: statistics are there, the log is written back."""
    if store.dialect == "postgresql":
        with store.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.exec_driver_sql("VACUUM ANALYZE")
            c.exec_driver_sql("CHECKPOINT")
        return
    for part in ("core", "ledger"):
        with store.engine(part).connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.connection.driver_connection.execute(f"PRAGMA {part}.wal_checkpoint(TRUNCATE)")
