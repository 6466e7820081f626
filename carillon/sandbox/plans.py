"""What people will do with what arrived: reactions with their instants, written beside the messages."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from carillon.kernel.clock import SECOND, Micros
from carillon.sandbox.behaviour import Behaviour, Draws, EmailRates, Orders, SmsRates
from carillon.sandbox.letters import Links, filled, headers_of, links_in, links_in_text, unsubscribe_url
from carillon.sandbox.sendgrid import mail_of
from carillon.sandbox.store import Store
from carillon.sandbox.twilio import form_of

NORMAL_90 = 1.2816
"""The 90 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """One thing that happens to a message, and when; the detail is a URL or an amount of cents."""

    at: Micros
    kind: str
    detail: str = ""


def plan_next(store: Store, behaviour: Behaviour) -> bool:
    """Plan the reactions to the oldest unplanned request, in one commit; False where there is none."""
    request = store.row("SELECT * FROM request WHERE planned = 0 ORDER BY id LIMIT 1")
    if request is None:
        return False
    people = store.rows("SELECT id, n, address, cid FROM message WHERE request_id = ? ORDER BY n", (request["id"],))
    plan = _of_mail if request["channel"] == "email" else _of_sms
    rows = [(r.at, message_id, r.kind, r.detail) for message_id, r in plan(request, people, behaviour)]
    with store.writing():
        store.write_many("INSERT INTO reaction(at, message_id, kind, detail) VALUES (?, ?, ?, ?)", rows)
        store.write("UPDATE request SET planned = 1 WHERE id = ?", (request["id"],))
    return True


def _of_mail(request: sqlite3.Row, people: list[sqlite3.Row], behaviour: Behaviour) -> Iterator[tuple[int, Reaction]]:
    mail = mail_of(request["body"])
    rates = behaviour.email_rates(request["categories"], request["words"])
    markup = next((part["value"] for part in mail.get("content") or () if part["type"] == "text/html"), "")
    links = links_in(markup)
    for person in people:
        reader = _Reader(mail, person["n"], links, behaviour, rates, _draws(behaviour, request, person))
        for reaction in reader.reactions(request["at"]):
            yield person["id"], reaction


def _of_sms(request: sqlite3.Row, people: list[sqlite3.Row], behaviour: Behaviour) -> Iterator[tuple[int, Reaction]]:
    text = form_of(request["body"])["Body"]
    rates = behaviour.sms_rates(request["words"])
    for person in people:
        draws = _draws(behaviour, request, person)
        for reaction in _sms_reactions(request["at"], text, behaviour, rates, draws):
            yield person["id"], reaction


def _draws(behaviour: Behaviour, request: sqlite3.Row, person: sqlite3.Row) -> Draws:
    return behaviour.draws(person["cid"] or f"{person['address']} {request['ref']}")


@dataclass(frozen=True, slots=True)
class _Reader:
    """One person before one mail."""

    mail: Mapping[str, Any]
    n: int
    links: Links
    behaviour: Behaviour
    rates: EmailRates
    draws: Draws

    def reactions(self, sent_at: Micros) -> Iterator[Reaction]:
        """Delivery or bounce, and what follows a delivery."""
        delivered_at = sent_at + self.draws.between("delivery", 2, 90)
        if self.behaviour.progress:
            yield Reaction(sent_at + SECOND, "processed")
        if bounced := self._bounce():
            yield Reaction(delivered_at, bounced)
            return
        yield Reaction(delivered_at, "delivered")
        yield from self._of_machines(delivered_at)
        yield from self._of_the_person(delivered_at)

    def _bounce(self) -> str:
        share, rates = self.draws.share("bounce"), self.rates
        limits = (("bounce", rates.hard_bounce), ("soft_bounce", rates.soft_bounce), ("blocked", rates.block))
        for kind, rate in limits:
            if share < rate:
                return kind
            share -= rate
        return ""

    def _of_machines(self, delivered_at: Micros) -> Iterator[Reaction]:
        soon = delivered_at + self.draws.between("machine_delay", 1, 240)
        if self.draws.share("machine_open") < self.rates.machine_open:
            yield Reaction(soon, "machine_open", self._filled(self.links.pixel))
        if self.links.clickable and self.draws.share("machine_click") < self.rates.machine_click:
            yield Reaction(delivered_at + 3 * SECOND, "machine_click", self._link())

    def _of_the_person(self, delivered_at: Micros) -> Iterator[Reaction]:
        # One share decides open and click, so that who clicks has opened.
        share, opened_at = self.draws.share("open"), delivered_at + self.draws.by_curve("open_delay")
        clicked_at = opened_at + self.draws.between("click_delay", 3, 240)
        clicks = bool(self.links.clickable) and share < self.rates.click
        if clicks or share < self.rates.open:
            yield Reaction(opened_at, "open", self._filled(self.links.pixel))
        if clicks:
            yield Reaction(clicked_at, "click", self._link())
        leave = self.draws.share("leave")
        if leave < self.rates.unsubscribe:
            yield Reaction(opened_at + 30 * SECOND, "unsubscribe", self._way_out())
        elif leave < self.rates.unsubscribe + self.rates.complain:
            yield Reaction(opened_at + 40 * SECOND, "spamreport")
        if self.draws.share("order") < self.rates.order:
            start = clicked_at if clicks else opened_at
            yield _order(start, self.draws, self.behaviour.orders)

    def _link(self) -> str:
        return self._filled(_chosen(self.links.clickable, self.draws))

    def _way_out(self) -> str:
        by_header = self.behaviour.unsubscribes_by == "header"
        return unsubscribe_url(headers_of(self.mail, self.n)) if by_header else ""

    def _filled(self, url: str) -> str:
        return filled(url, self.mail["personalizations"][self.n].get("substitutions") or {})


def _sms_reactions(
    sent_at: Micros, text: str, behaviour: Behaviour, rates: SmsRates, draws: Draws
) -> Iterator[Reaction]:
    delivered_at = sent_at + draws.between("delivery", 2, 40)
    if behaviour.progress:
        yield Reaction(sent_at + SECOND, "sent")
    if draws.share("bounce") < rates.failed:
        yield Reaction(delivered_at, "undelivered", "30003" if draws.share("bounce_delay") < 0.7 else "30005")
        return
    yield Reaction(delivered_at, "delivered")
    # An SMS is read at once: its delays are those of mails by a tenth.
    read_at = delivered_at + draws.by_curve("open_delay") // 10
    links = links_in_text(text)
    if links and draws.share("open") < rates.click:
        yield Reaction(read_at, "sms_click", _chosen(links, draws))
    if draws.share("leave") < rates.stop:
        yield Reaction(read_at + 20 * SECOND, "stop")
    if draws.share("order") < rates.order:
        yield _order(read_at, draws, behaviour.orders)


def _chosen(links: tuple[str, ...], draws: Draws) -> str:
    return links[int(draws.share("link") * len(links))]


def _order(after: Micros, draws: Draws, orders: Orders) -> Reaction:
    """An order within the hours after, worth about the median: the logistic curve stands in for the normal one."""
    share = min(max(draws.share("value"), 0.001), 0.999)
    deviation = math.log(share / (1 - share)) / 1.702
    cents = round(orders.median * 100 * orders.spread ** (deviation / NORMAL_90))
    return Reaction(after + draws.between("order_delay", 120, 7_200), "order", str(cents))
