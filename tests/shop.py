"""A shop in a test: a workspace of real YAML files, a store, a clock that stands until it is moved, and a post that counts.

Everything between the files and the post is the real thing: loader, compiler, messages, every stage of an advance, the
claim, the settlement, the fold. After each stage the ledger's invariants are checked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.advance.advance import Advanced, advance
from carillon.advance.engine import Engine
from carillon.advance.invariants import violations
from carillon.advance.stages import Stage
from carillon.cli.opened import Opened
from carillon.cli.plan import apply_all
from carillon.consent.record import Said, record_consents
from carillon.consent.standing import StandingRules
from carillon.consent.standing import rules_of as standing_rules_of
from carillon.consent.suppression import Suppressed, suppress
from carillon.definition.load import Loaded, load_workspace
from carillon.delivery.protocol import (
    Accepted,
    Capabilities,
    Connector,
    Outcome,
    People,
    SharedEmail,
    SharedSms,
)
from carillon.feedback.ingest import ingest_feedback
from carillon.feedback.model import Feedback, FeedbackKind
from carillon.foresight.draft import Draft, draft_of
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros, SystemClock, VirtualClock, from_micros, to_micros
from carillon.kernel.ids import h31
from carillon.kernel.problems import render
from carillon.kernel.time.resolve import country_of_phone
from carillon.kernel.tokens import Keyring, TokenKind
from carillon.people.contacts import ContactRow, upsert_contacts
from carillon.people.events import EventShape, event_hash
from carillon.people.fields import Reading
from carillon.people.ingest import ArrivedEvent, ingest_events
from carillon.plan.apply import AppliedChange, apply_plan
from carillon.settings import Settings
from carillon.store import tables as t
from carillon.store.engine import Part, Store
from carillon.web.messages import Enter
from carillon.web.shop import read_enter

KEYS = Keyring((b"a key of the tests, 32 bytes it is",))
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"

WORKSPACE = """\
name: Acme
timezone: Europe/Berlin
currency: EUR
address: Acme GmbH, Hauptstr. 1, 10115 Berlin
languages: {en: [GB, US], de: [DE]}
public_url: https://t.acme.example
senders:
  email: {connector: sandbox, from: Acme <hello@acme.example>}
  sms: {connector: sandbox, from: Acme}
topics:
  offers: {kind: marketing, name: Offers, consent: {email: explicit, sms: explicit}}
  club: {kind: marketing, name: Club, consent: {email: double}}
  news: {kind: marketing, name: News, consent: {email: assumed}}
  service: {kind: transactional, name: Orders}
"""
DATA = """\
contact: {tier: {one_of: [basic, silver, gold]}, points: number}
events:
  order_completed: {order_id: word, cart_id: word, total: money}
  cart_updated: {cart_id: word, total: money}
  cart_emptied: {cart_id: word}
"""
DESIGN = '<p>{{ t.headline }}</p><p><a href="https://acme.example/sale">Look</a></p>{{ brand.address }} <a href="{{ links.unsubscribe }}">Leave</a>'


@dataclass(frozen=True, slots=True)
class Letter:
    """What one person got."""

    address: str
    text: str
    """The subject of a mail, the words of a text message, everything that is personal filled in."""
    cid: str


@dataclass(frozen=True, slots=True)
class _Parcel:
    letters: Sequence[Letter]

    def __len__(self) -> int:
        return len(self.letters)


@dataclass
class Post:
    """A provider in memory: it keeps every letter, counts them, and answers as it is told."""

    name: str
    channel: Channel
    whole: bool
    letters: list[Letter] = field(default_factory=list)
    answer: Callable[[Letter], Outcome] = lambda letter: Accepted(f"ref-{letter.cid}")
    max_people: int = 1000

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            self.channel, self.whole, max_people=self.max_people, max_bytes=30_000_000, concurrency=2, substitutes=True,
            validity=False, feedback=True,
        )  # fmt: skip

    def build(self, message: SharedEmail | SharedSms, people: People, valid_for_s: int | None = None) -> _Parcel:
        shared = message.subject if isinstance(message, SharedEmail) else message.text
        return _Parcel([_letter(shared, people, row) for row in range(len(people))])

    async def hand_over(self, parcel: Any, rows: Sequence[int]) -> Sequence[Outcome]:
        letters = [parcel.letters[row] for row in rows]
        self.letters += letters
        return [self.answer(letters[0])] if self.whole else [self.answer(letter) for letter in letters]

    async def close(self) -> None:
        """Nothing is open."""


def _letter(shared: str, people: People, row: int) -> Letter:
    for tag, values in people.values.items():
        shared = shared.replace(tag, values[row])
    return Letter(people.addresses[row], shared, people.cids[row])


class Interrupted(Exception):
    """Ends an advance between two of its transactions, as a kill would."""


class FragileStore(Store):
    """The same store, whose owner is interrupted before one writing transaction: the one of that number."""

    def __init__(self, store: Store, number: int) -> None:
        self.__dict__.update(store.__dict__)
        self.number, self.is_armed = number, True

    @contextmanager
    def write(self, part: Part) -> Iterator[Connection]:
        if self.is_armed:
            self.number -= 1
            if self.number < 0:
                self.is_armed = False  # a kill comes once; what tidies up afterwards is let through
                raise Interrupted(part)
        with super().write(part) as connection:
            yield connection


@dataclass
class Shop:
    """A shop over a store and a folder; `clock` is campaign time."""

    store: Store
    folder: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(instant("2026-11-02 12:00")))
    mail: Post = field(default_factory=lambda: Post("sandbox.email", Channel.EMAIL, whole=True))
    texts: Post = field(default_factory=lambda: Post("sandbox.sms", Channel.SMS, whole=False))
    stages: list[str] = field(default_factory=list)
    """Titles of all stages that were performed, of the last run."""

    def __post_init__(self) -> None:
        self.campaigns = self.folder / "campaigns"
        self.write("workspace.yaml", WORKSPACE)
        self.write("data.yaml", DATA)
        self._loaded: Loaded | None = None
        self._number = 0

    # ------------------------------------------------------------------------------------------------- the files

    def write(self, path: str, text: str) -> None:
        """Write a file of the workspace."""
        file = self.campaigns / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        self._loaded = None

    def workspace(self, more: str) -> None:
        """Lay more lines behind workspace.yaml."""
        self.write("workspace.yaml", WORKSPACE + more)

    def segment(self, name: str, who: str) -> None:
        """A named audience."""
        self.write(f"segments/{name}.yaml", f"title: {name}\nwho: {who}\n")

    def campaign(self, name: str, yaml: str, messages: Mapping[str, str] | None = None) -> None:
        """A campaign; each message that its journey names is written unless `messages` brings the file."""
        text = yaml if "topic:" in yaml else f"topic: offers\n{yaml}"
        self.write(f"{name}/campaign.yaml", text)
        files = _files_of(text) | dict(messages or {})
        for file, words in files.items():
            self.write(f"{name}/messages/{file}", words)

    @property
    def loaded(self) -> Loaded:
        """The workspace as its files say it; a problem fails the test with its whole text."""
        if self._loaded is None:
            self._loaded = load_workspace(self.campaigns)
            assert not self._loaded.errors, render(self._loaded.errors, self._loaded.sources)
        return self._loaded

    def draft(self, name: str) -> Draft:
        draft = draft_of(self.loaded, name)
        assert not draft.errors, render(list(draft.errors), {})
        return draft

    def apply(self, *names: str) -> list[str]:
        """Apply as the command does, with the planned audience, or end in its refusal; what each became."""
        settings = Settings(self.folder, self.campaigns, self.store.url, None, {})
        house = Opened(settings, self.store, self.loaded)
        wanted = list(names) or sorted(self.loaded.campaigns)
        return [outcome for _, outcome in apply_all(house, wanted, from_micros(self.clock.now()).isoformat())]

    def force(self, name: str, planned: int | None = None) -> AppliedChange:
        """Apply without the plan's objections."""
        draft = self.draft(name)
        return apply_plan(
            self.store, draft.plan, draft.rules, draft.contents.contents, planned_audience=planned, by="ann",
            at=self.clock.now(),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ the people

    @property
    def _standing_rules(self) -> StandingRules:
        return standing_rules_of(self.loaded.workspace)

    def contact(
        self,
        name: str,
        *,
        email: str | None = "",
        phone: str | None = None,
        country: str = "GB",
        language: str | None = None,
        timezone: str | None = None,
        consent: Sequence[str] = ("offers/email", "offers/sms"),
        suppressed: bool = False,
        invalid_bits: int = 0,
        created_at: Micros | None = None,
        **fields: Any,
    ) -> int:
        """A contact with an address of its own and a yes to offers; its id."""
        address = f"{name}@example.com" if email == "" else email
        row = ContactRow(
            name, email=address, phone=phone, phone_country=country_of_phone(phone) if phone else None,
            invalid_bits=invalid_bits, country=country, language=language, timezone=timezone,
            created_at=created_at, attrs=fields,
        )  # fmt: skip
        self._upsert([row])
        contact_id = self.id_of(name)
        for pair in consent:
            self.consent(name, pair)
        if suppressed:
            self.suppress(address or phone or "", "email" if address else "sms")
        return contact_id

    def people(self, n: int, prefix: str = "p", country: str = "GB") -> list[str]:
        """Many contacts with mail and a yes to offers."""
        names = [f"{prefix}{number:04}" for number in range(1, n + 1)]
        self._upsert([ContactRow(name, email=f"{name}@example.com", country=country) for name in names])
        with self.store.write("core") as connection:
            ids = connection.execute(sa.select(t.contact.c.id).where(t.contact.c.shop_id.in_(names))).scalars()
            said = [Said(i, "offers", "email", "yes", "test", "", self.clock.now()) for i in ids]
            record_consents(connection, self._standing_rules, said)
        return names

    def change(self, name: str, **fields: Any) -> None:
        """Tell something new about a contact: columns by their name, all else is a field."""
        columns = {k: fields.pop(k) for k in ("email", "phone", "country", "language", "timezone") if k in fields}
        self._upsert([ContactRow(name, attrs=fields, **columns)])

    def _upsert(self, rows: Sequence[ContactRow]) -> None:
        with self.store.write("core") as connection:
            upsert_contacts(
                connection, self._standing_rules, rows, workspace_zone=self.loaded.workspace.timezone, source="test",
                at=self.clock.now(),
            )  # fmt: skip

    def id_of(self, name: str) -> int:
        with self.store.read() as connection:
            return int(connection.scalar(sa.select(t.contact.c.id).where(t.contact.c.shop_id == name)) or 0)

    def consent(self, name: str, pair: str, state: Any = "yes") -> None:
        """Record a word of a contact about `topic/channel`."""
        topic, _, channel = pair.partition("/")
        said = Said(self.id_of(name), topic, channel, state, "test", "form", self.clock.now())
        with self.store.write("core") as connection:
            record_consents(connection, self._standing_rules, [said])

    def suppress(self, address: str, channel: str = "email") -> None:
        with self.store.write("core") as connection:
            suppress(connection, self._standing_rules, [Suppressed(address, channel, "complaint", self.clock.now())])

    def event(self, name: str, kind: str, at: str | Micros | None = None, history: bool = False, **props: Any) -> None:
        """The shop reports what a contact did; at once unless it says when."""
        happened = self.clock.now() if at is None else instant(at)
        typed = EventShape(kind, self.loaded.data.events[kind], Reading("UTC")).read(props)
        self._number += 1
        key = event_hash(kind, name, str(self._number), typed.props)
        event = ArrivedEvent(happened, key, kind, name, typed.value_cents, typed.props)
        ingest_events(self.store, [event], source="test", history=history, received_at=self.clock.now())

    def order(self, name: str, total: str = "10", at: str | Micros | None = None, **props: Any) -> None:
        self.event(name, "order_completed", at, total=total, **props)

    def enter(self, name: str, campaign: str, key: str) -> None:
        """The shop calls for a contact to be taken in."""
        event = read_enter(self.store, Enter(campaign=campaign, userId=name, key=key), self.clock.now())
        ingest_events(self.store, [event], source="test", history=False, received_at=self.clock.now())

    # ---------------------------------------------------------------------------------------------- what comes back

    def click(self, name: str, step: str, at: str | Micros | None = None) -> None:
        """A person clicks in the newest message of that step."""
        self.report(FeedbackKind.CLICKED, name, step, at, url="https://acme.example/sale", user_agent=BROWSER)

    def open(self, name: str, step: str, at: str | Micros | None = None) -> None:
        self.report(FeedbackKind.OPENED, name, step, at, user_agent=BROWSER)

    def bounce(self, name: str, step: str, at: str | Micros | None = None) -> None:
        """The provider says that the address is dead."""
        self.report(FeedbackKind.BOUNCED, name, step, at, bounce="hard", code="550")

    def unsubscribe(self, name: str, step: str, at: str | Micros | None = None) -> None:
        self.report(FeedbackKind.UNSUBSCRIBED, name, step, at)

    def report(self, kind: FeedbackKind, name: str, step: str, at: str | Micros | None = None, **fields: Any) -> None:
        """A signed report about the newest send of a step to a contact."""
        n, s = t.node.c, t.send.c
        with self.store.read() as connection:
            row = connection.execute(
                sa.select(s.node_id, s.enrolment_id, s.channel)
                .join_from(t.send, t.node, n.id == s.node_id)
                .where(n.step_id == step, s.contact_id == self.id_of(name))
                .order_by(s.enrolment_id.desc())
                .limit(1)
            ).one()
        happened = self.clock.now() if at is None else instant(at)
        cid = KEYS.make(TokenKind.MESSAGE, row.node_id, row.enrolment_id)
        key = f"{cid}\n{kind}\n{happened}"
        feedback = Feedback(kind, happened, Channel(row.channel), "test", key, cid=cid, **fields)
        ingest_feedback(self.store, [feedback], KEYS, self.clock.now())

    # --------------------------------------------------------------------------------------------------- the run

    def at(self, when: str | Micros) -> None:
        """Let time pass."""
        self.clock.move_to(instant(when))

    @property
    def engine(self) -> Engine:
        posts = {post.name: post for post in (self.mail, self.texts)}
        return Engine(
            store=self.store,
            make_connectors=lambda: posts,
            max_people={name: post.max_people for name, post in posts.items()},
            keyring=KEYS,
            campaign_clock=self.clock,
            machine_clock=SystemClock(),
        )

    def run(
        self,
        name: str,
        at: str | Micros | None = None,
        *,
        alone: bool = False,
        stop_before: int | None = None,
        connectors: Callable[[], Mapping[str, Connector]] | None = None,
    ) -> Advanced:
        """Advance a campaign; `stop_before` interrupts it before the transaction of that number, hand-overs aside."""
        if at is not None:
            self.at(at)
        self.stages = []
        fragile = FragileStore(self.store, stop_before or 0)
        fragile.is_armed = stop_before is not None

        def perform(title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
            self.stages.append(title)
            was_armed, fragile.is_armed = fragile.is_armed, fragile.is_armed and not is_long
            stage = run()
            fragile.is_armed = was_armed
            assert not stage.did_something or self.violations() == [], f"after “{title}”"
            return stage

        engine = self.engine if stop_before is None else replace(self.engine, store=fragile)
        engine = engine if connectors is None else replace(engine, make_connectors=connectors)
        return advance(engine, name, alone=alone, perform=perform)

    def run_to(self, name: str, until: str, most: int = 60) -> None:
        """Advance whenever the campaign wants to be, up to an instant, and at that instant."""
        end = instant(until)
        for _ in range(most):
            due = self.run(name).next_due
            if due is None or due > end:
                break
            self.at(due)
        if self.clock.now() < end:
            self.run(name, end)

    def violations(self) -> list[str]:
        with self.store.read() as connection:
            return [v.sentence for v in violations(connection)]

    # ------------------------------------------------------------------------------------------------- what is seen

    @property
    def inbox(self) -> list[str]:
        """Who got a mail, in the order in which it left."""
        return [letter.address.removesuffix("@example.com") for letter in self.mail.letters]

    def sends(self, step: str) -> dict[str, str]:
        """Contact → the state of its newest send of a step."""
        n, s, b, c = t.node.c, t.send.c, t.batch.c, t.contact.c
        return dict(
            self._rows(
                sa.select(c.shop_id, sa.func.coalesce(s.outcome, b.state))
                .join_from(t.send, t.node, n.id == s.node_id)
                .join(t.contact, c.id == s.contact_id)
                .outerjoin(t.batch, b.id == s.batch_id)
                .where(n.step_id == step)
                .order_by(s.enrolment_id)
            )
        )

    @property
    def skips(self) -> dict[str, str]:
        """Contact → why it got nothing (the newest reason)."""
        s, c = t.send.c, t.contact.c
        rows = self._rows(
            sa.select(c.shop_id, s.outcome)
            .join_from(t.send, t.contact, c.id == s.contact_id)
            .where(s.outcome.like("skipped:%"))
            .order_by(s.enrolment_id)
        )
        return {name: outcome.removeprefix("skipped:") for name, outcome in rows}

    def arms(self, step: str) -> dict[str, str]:
        """Contact → the variant that it got."""
        n, s, c = t.node.c, t.send.c, t.contact.c
        return dict(
            self._rows(
                sa.select(c.shop_id, s.arm)
                .join_from(t.send, t.node, n.id == s.node_id)
                .join(t.contact, c.id == s.contact_id)
                .where(n.step_id == step, s.outcome.is_(None))
            )
        )

    def standing(self, step: str) -> list[str]:
        """Who stands at a step."""
        n, e, c = t.node.c, t.enrolment.c, t.contact.c
        rows = self._rows(
            sa.select(c.shop_id, e.id)
            .join_from(t.enrolment, t.node, n.id == e.node_id)
            .join(t.contact, c.id == e.contact_id)
            .where(n.step_id == step, e.state == "live")
            .order_by(c.shop_id)
        )
        return [name for name, _ in rows]

    def due(self, name: str) -> str | None:
        """When something is due for the contact's newest enrolment, as UTC."""
        e, c = t.enrolment.c, t.contact.c
        rows = self._rows(
            sa.select(e.due_at, e.id)
            .join_from(t.enrolment, t.contact, c.id == e.contact_id)
            .where(c.shop_id == name)
            .order_by(e.id)
        )
        return None if rows[-1][0] is None else f"{from_micros(rows[-1][0]):%Y-%m-%d %H:%M}"

    @property
    def enrolments(self) -> dict[str, str]:
        """Contact → where its newest enrolment stands, or the code by which it ended."""
        e, c, n = t.enrolment.c, t.contact.c, t.node.c
        return dict(
            self._rows(
                sa.select(c.shop_id, sa.func.coalesce(e.exit_code, n.step_id))
                .join_from(t.enrolment, t.contact, c.id == e.contact_id)
                .outerjoin(t.node, n.id == e.node_id)
                .order_by(e.id)
            )
        )

    def things(self, campaign: str) -> list[tuple[str, str]]:
        """(contact, thing) of each enrolment in a campaign."""
        e, c, k = t.enrolment.c, t.contact.c, t.campaign.c
        query = (
            sa.select(c.shop_id, e.thing)
            .join_from(t.enrolment, t.contact, c.id == e.contact_id)
            .join(t.campaign, k.id == e.campaign_id)
            .where(k.name == campaign)
        )
        return sorted((name, thing) for name, thing in self._rows(query))

    def waves(self) -> list[tuple[str, str, int, dict[str, int]]]:
        """(entry, ref, people, who did not enter and why) of each wave."""
        w = t.wave.c
        with self.store.read() as connection:
            return [
                (row.entry, row.ref, row.n, dict(row.left_out))
                for row in connection.execute(sa.select(w.entry, w.ref, w.n, w.left_out).order_by(w.id))
            ]

    def ledger(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows that must be the same however a run was interrupted: ids of batches and machine times left out."""
        e, s, b, p, c, n = t.enrolment.c, t.send.c, t.batch.c, t.passage.c, t.contact.c, t.node.c
        queries = {
            "enrolment": sa.select(
                c.shop_id, e.thing, e.role, e.state, e.exit_code, e.due_at, e.arrived_at, e.ended_at, n.step_id
            )
            .join_from(t.enrolment, t.contact, c.id == e.contact_id)
            .outerjoin(t.node, n.id == e.node_id),
            "send": sa.select(c.shop_id, n.step_id, s.enrolment_id, s.arm, s.due_at, s.outcome, b.state, b.claimed_at)
            .join_from(t.send, t.contact, c.id == s.contact_id)
            .join(t.node, n.id == s.node_id)
            .outerjoin(t.batch, b.id == s.batch_id),
            "passage": sa.select(p.node_id, p.enrolment_id, p.branch, p.at),
            "wave": sa.select(t.wave.c.entry, t.wave.c.ref, t.wave.c.n, t.wave.c.snapshot_at),
            "leader": sa.select(t.leader.c.experiment, t.leader.c.wave_id, t.leader.c.arm, t.leader.c.decided_at),
        }
        return {name: sorted(map(tuple, self._rows(query)), key=repr) for name, query in queries.items()}

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        with self.store.read() as connection:
            return list(connection.execute(query).tuples())

    def count(self, table: sa.Table) -> int:
        with self.store.read() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def instant(when: str | Micros) -> Micros:
    """`2026-12-01 09:00` on the workspace's clock (Europe/Berlin), or with an offset."""
    if isinstance(when, int):
        return when
    at = datetime.fromisoformat(when)
    return to_micros(at if at.tzinfo else at.replace(tzinfo=ZoneInfo("Europe/Berlin")))


def _files_of(yaml: str) -> dict[str, str]:
    """Plain words for each message that a campaign names, with those of its variants."""
    variants = [v.strip() for found in re.findall(r"variants: \[([^]]*)\]", yaml) for v in found.split(",")]
    files: dict[str, str] = {}
    for channel, name in re.findall(r"\b(email|sms): *([a-z_0-9]+)", yaml):
        if channel == "sms":
            files[f"{name}.sms.txt"] = f"{name}: STOP ends this"
            continue
        words = f"subject: {name}\ntexts: {{headline: Hello}}\n"
        if variants:
            words += "variants:\n" + "".join(f'  {v}: {{subject: "{name} {v}"}}\n' for v in variants)
        files[f"{name}.yaml"] = words
        files[f"{name}.html"] = DESIGN
    return files


def held_names(experiment_holds: Callable[[int], bool], n: int) -> Iterator[str]:
    """Names of contacts that a share of buckets takes: the first n."""
    number = found = 0
    while found < n:
        name = f"h{number}"
        number += 1
        if experiment_holds(h31(name)):
            found += 1
            yield name


def counted(names: Mapping[str, str]) -> Counter[str]:
    """How many have each value."""
    return Counter(names.values())


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    """A shop over SQLite."""
    return Shop(sqlite_store, tmp_path)


@pytest.fixture
def any_shop(store: Store, tmp_path: Path) -> Shop:
    """A shop over each store in turn: for what SQL decides."""
    return Shop(store, tmp_path)
