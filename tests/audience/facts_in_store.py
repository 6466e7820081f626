"""Writes plain facts about contacts into a store, as import, fold and ledger would leave them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from carillon.audience.facts import CouponFact, EnrolmentFact, Facts, SendFact
from carillon.feedback.responses import lay_newest
from carillon.kernel.channels import SEND_NUMBER, Channel
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import PARTS, Store

COLUMNS = {"id", "email", "phone", "country", "language", "timezone", "created_at"}
BATCH_STATES = {"ready", "claimed", "accepted", "unsure", "closed"}
PAIRS = (("offers", "email"), ("offers", "sms"), ("news", "email"))
CHANNELS = ("email", "sms")


class Bits:
    """Permissions that read the bits which `write_facts` wrote."""

    def allowed(self, standing: sa.FromClause, topic: str, channel: str) -> sa.ColumnElement[bool]:
        return standing.c.allow_bits.bitwise_and(1 << PAIRS.index((topic, channel))) != 0

    def open(self, standing: sa.FromClause, channel: str) -> sa.ColumnElement[bool]:
        return standing.c.closed_bits.bitwise_and(1 << CHANNELS.index(channel)) == 0


Rows = dict[sa.Table, list[dict[str, Any]]]


def write_facts(store: Store, people: Mapping[int, Facts]) -> None:
    """Empty the store and write these contacts, by their ids."""
    rows = rows_of(people)
    for part in PARTS:
        with store.write(part) as connection:
            for table, found in rows.items():
                if table.schema == part:
                    connection.execute(table.delete())
                    if found:
                        columns = list(found[0])
                        insert_rows(connection, table, columns, ([row[c] for c in columns] for row in found))
            if part == "events":
                if store.dialect == "sqlite":
                    connection.execute(t.contact_event.delete())
                lay_by_contact(connection, "events.event")
                connection.execute(t.contact_response.delete())
                lay_newest(connection, "SELECT DISTINCT contact_id FROM events.response")


def rows_of(people: Mapping[int, Facts]) -> Rows:
    """The rows of all tables that say the same as the facts."""
    written = _Writer()
    for contact_id, facts in people.items():
        written.person(contact_id, facts)
    return written.rows


class _Writer:
    def __init__(self) -> None:
        tables = (
            t.contact, t.standing, t.list_member, t.campaign, t.node, t.event, t.contact_stat, t.response,
            t.enrolment, t.passage, t.send, t.batch, t.coupon, t.redemption,
        )  # fmt: skip
        self.rows: Rows = {table: [] for table in tables}
        self.numbers: Iterator[int] = itertools.count(1)
        self.campaigns: dict[str, int] = {}
        self.nodes: dict[tuple[str, str], int] = {}

    def person(self, contact_id: int, facts: Facts) -> None:
        self._contact(contact_id, facts)
        keys = self._events(contact_id, facts)
        ways = self._enrolments(contact_id, facts, keys)
        own = ways[0] if facts.journey else None
        for send in facts.sends:
            self._send(contact_id, send, own if facts.journey and send.enrolment == facts.journey.enrolment else None)
        for coupon in facts.coupons:
            is_own = facts.journey is not None and coupon.enrolment == facts.journey.enrolment
            self._coupon(coupon, ways[0 if is_own else -1])

    def _contact(self, contact_id: int, facts: Facts) -> None:
        f = facts.fields
        attrs = {name: value for name, value in f.items() if name not in COLUMNS}
        self.rows[t.contact].append(
            {
                "id": contact_id, "shop_id": f["id"], "email_key": f.get("email"), "phone_key": f.get("phone"), "country": f.get("country"),
                "language": f.get("language"), "zone": f["timezone"], "zone_source": "contact", "h31": 0, "created_at": f["created_at"],
                "attrs": json.dumps(attrs),
            }
        )  # fmt: skip
        allow = sum(1 << number for number, pair in enumerate(PAIRS) if pair in facts.permitted)
        closed = sum(1 << number for number, channel in enumerate(CHANNELS) if channel not in facts.open_channels)
        self.rows[t.standing].append(
            {
                "contact_id": contact_id,
                "zone": f["timezone"],
                "language": "de",
                "allow_bits": allow,
                "closed_bits": closed,
                "h31": 0,
            }
        )
        self.rows[t.list_member] += [
            {"list": name, "contact_id": contact_id, "told_at": 0} for name in sorted(facts.lists)
        ]

    def _events(self, contact_id: int, facts: Facts) -> list[tuple[int, int]]:
        keys = []
        for event in facts.events:
            keys.append((event.at, next(self.numbers)))
            self.rows[t.event].append(
                {
                    "occurred_at": event.at, "hash64": keys[-1][1], "kind": event.kind, "contact_id": contact_id, "intake_id": 1,
                    "value_cents": total if type(total := event.props.get("total")) is int else None,  # what it was read as
                    "props": json.dumps(dict(event.props)),
                }
            )  # fmt: skip
        for kind in sorted({event.kind for event in facts.events}):
            at = [event.at for event in facts.events if event.kind == kind]
            self.rows[t.contact_stat].append(
                {"kind": kind, "contact_id": contact_id, "n": len(at), "first_at": min(at), "last_at": max(at)}
            )
        return keys

    def _enrolments(self, contact_id: int, facts: Facts, keys: list[tuple[int, int]]) -> list[int]:
        """Writes them and returns their ids; the journey speaks of the first."""
        ways = []
        for number, enrolment in enumerate(facts.enrolments):
            journey = facts.journey if number == 0 else None
            enrolment_id = self._enrolment(contact_id, enrolment)
            ways.append(enrolment_id)
            if journey is None:
                continue
            row = self.rows[t.enrolment][-1]
            for name, props in (("trigger", journey.trigger), ("answer", journey.answer)):
                key = next((key for key, event in zip(keys, facts.events, strict=True) if event.props is props), None)
                if key:
                    row |= {f"{name}_at": key[0], f"{name}_hash": key[1]}
            for step, at in journey.reached.items():
                node = self._node(enrolment.campaign, step)
                self.rows[t.passage].append({"node_id": node, "enrolment_id": enrolment_id, "branch": "then", "at": at})
        return ways

    def _enrolment(self, contact_id: int, fact: EnrolmentFact) -> int:
        enrolment_id = next(self.numbers)
        self.rows[t.enrolment].append(
            {
                "id": enrolment_id, "campaign_id": self._campaign(fact.campaign), "version_id": 1, "wave_id": 1, "contact_id": contact_id,
                "thing": str(enrolment_id), "arrived_at": fact.entered_at, "entered_at": fact.entered_at,
                "state": "live" if fact.is_live else "done", "trigger_at": None, "trigger_hash": None, "answer_at": None,
                "answer_hash": None,
            }
        )  # fmt: skip
        return enrolment_id

    def _send(self, contact_id: int, fact: SendFact, enrolment_id: int | None) -> None:
        node, enrolment_id = self._node(fact.campaign, fact.step), enrolment_id or next(self.numbers)
        batch_id = next(self.numbers) if fact.state in BATCH_STATES else None
        if batch_id:
            self.rows[t.batch].append(
                {
                    "id": batch_id, "campaign_id": self._campaign(fact.campaign), "node_id": node, "channel": fact.channel,
                    "due_at": fact.at - 5, "decided_at": fact.at - 5, "state": fact.state, "claimed_at": fact.at,
                }
            )  # fmt: skip
        self.rows[t.send].append(
            {
                "node_id": node, "enrolment_id": enrolment_id, "contact_id": contact_id, "channel": SEND_NUMBER[Channel(fact.channel)],
                "due_at": fact.at - 5, "decided_at": fact.at - 5, "batch_id": batch_id, "outcome": None if batch_id else fact.state,
            }
        )  # fmt: skip
        self.rows[t.response].append(
            {
                "node_id": node, "enrolment_id": enrolment_id, "contact_id": contact_id, "bounced_at": fact.bounced_at,
                "first_open": fact.opened_at, "machine_open": fact.machine_opened_at, "first_click": fact.clicked_at,
            }
        )  # fmt: skip

    def _coupon(self, fact: CouponFact, enrolment_id: int) -> None:
        code = f"{fact.code}{next(self.numbers)}"
        self.rows[t.coupon].append(
            {
                "pool": fact.pool, "code": code, "enrolment_id": enrolment_id, "state": "used", "at": 1,
                "valid_until": fact.valid_until,
            }
        )  # fmt: skip
        if fact.redeemed_at is not None:
            self.rows[t.redemption].append({"code": code.upper(), "at": fact.redeemed_at})

    def _campaign(self, name: str) -> int:
        if name not in self.campaigns:
            self.campaigns[name] = len(self.campaigns) + 1
            self.rows[t.campaign].append({"id": self.campaigns[name], "name": name})
        return self.campaigns[name]

    def _node(self, campaign: str, step: str) -> int:
        key = (campaign, step)
        if key not in self.nodes:
            self.nodes[key] = len(self.nodes) + 1
            self.rows[t.node].append(
                {"id": self.nodes[key], "campaign_id": self._campaign(campaign), "step_id": step, "kind": "message"}
            )
        return self.nodes[key]
