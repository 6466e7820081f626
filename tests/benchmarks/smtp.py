"""Mails of 34 KB over SMTP, each body its person's own, against a loop of Jinja2, EmailMessage and smtplib."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from email.message import EmailMessage

import jinja2

from connectors.smtp import connector as relay
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, watch
from tests.benchmarks.one_by_one import RelaySink, advanced_over, person, shop_of, sink_of

CAMPAIGN = """\
topic: offers
audience: {reachable: email}
entry: {at: 2026-11-02 12:00}
journey: [{email: letter}]
"""
SUBJECT = "{{ contact.first_name }}, four for you"
FILLING = "".join(
    f'<p style="margin: 0 0 12px 0">Paragraph {n}: {"soft leather, light soles, made to last. " * 12}</p>\n'
    for n in range(60)
)
LETTER = (
    "<h1>{{ contact.first_name }} in {{ contact.city }}, four for you</h1>\n" + FILLING[: len(FILLING) // 2] +
    "{% for pick in contact.picks %}<p><a href='https://acme.example/{{ pick.page }}'>{{ pick.name }}</a> {{ pick.price }}</p>\n"
    "{% endfor %}" + FILLING[len(FILLING) // 2 :] +
    "<p>{{ brand.address }} <a href='{{ links.unsubscribe }}'>Leave</a></p>\n"
)  # fmt: skip
PLAIN = "Hello {{ contact.first_name }}\n{{ brand.address }}\n{{ links.unsubscribe }}\n"


def smtp(ground: Ground) -> Iterable[Figure]:
    people = ground.size(20_000)
    words = {"letter.yaml": f"subject: '{SUBJECT}'\n", "letter.html": LETTER, "letter.txt": PLAIN}
    with sink_of(RelaySink) as (address, sink):
        shop = shop_of(ground, people, CAMPAIGN, words)
        with watch(sink) as spent:
            advanced = advanced_over(shop, lambda: {"smtp": relay.make({"SMTP_URL": f"smtp://{address}"})})
        assert advanced.work.people == {"accepted": people}, advanced.work
        naive = _naive(address, ground.size(1_000))
        yield Figure(
            "SMTP, 34 KB a person, end to end", people / spent.wall, "mails/s", "more", 1_500, 5_000,
            f"loop of Jinja2, EmailMessage, smtplib, {naive:,.0f}/s", people / spent.wall / naive, 5, spent.spread(people),
        )  # fmt: skip


def _naive(address: str, people: int) -> float:
    pages = jinja2.Environment(autoescape=True)
    letter, subject, plain = (pages.from_string(text) for text in (LETTER, SUBJECT, PLAIN))
    host, _, port = address.partition(":")
    with smtplib.SMTP(host, int(port)) as connection, watch() as spent:
        for number in range(people):
            row = person(number)
            said = {
                "contact": row.attrs,
                "brand": {"address": "Acme"},
                "links": {"unsubscribe": f"https://t.acme.example/u/{number}"},
            }
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "Acme <hello@acme.example>", row.email, subject.render(said)
            mail.set_content(plain.render(said))
            mail.add_alternative(letter.render(said), subtype="html")
            connection.send_message(mail)
    return people / spent.wall
