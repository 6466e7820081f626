"""A little ground to hand over from: contacts, one campaign with a message, ready batches, and a provider on loopback."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from aiohttp import web

from carillon.delivery.model import Built, Needs, ReadyBatch, WorkResult
from carillon.delivery.parcels import Letter, Unbuilt, make_parcel
from carillon.delivery.protocol import Connector, People, Sender, SharedEmail, SharedSms
from carillon.delivery.work import work_on
from carillon.kernel.channels import SEND_NUMBER, Channel
from carillon.kernel.clock import HOUR, SystemClock, VirtualClock
from carillon.kernel.worker import worker_id
from carillon.plan.rules import Rules, TopicRule
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import Store
from connectors.sendgrid import connector as sendgrid
from connectors.twilio import connector as twilio

NOW = 1_800_000_000_000_000
OFFERS_BIT = 1 << 0

RULES = Rules(
    name="Acme", timezone="Europe/Berlin", currency="EUR", address="Acme GmbH", public_url="https://t.acme.example",
    languages=("en",), country_language={}, senders=(),
    topics={"offers": TopicRule("offers", True, {"": "Offers"}, {"email": "explicit", "sms": "explicit"})},
)  # fmt: skip


def seed(
    store: Store, people: int, *, size: int = 1000, channel: str = "email", connector: str = "sendgrid", **batch: object
) -> list[int]:
    """`people` contacts with consent, each enrolled and standing at node 7 in ready batches; the batches' ids."""
    ids = range(1, people + 1)
    with store.write("core") as c:
        c.execute(t.permission.insert().values(bit=0, topic="offers", channel=channel))
        c.execute(t.campaign.insert().values(id=3, name="sale", first_applied_at=0, live_version=1))
        c.execute(t.node.insert().values(id=7, campaign_id=3, step_id="email.sale", kind="message"))
        insert_rows(
            c, t.contact,
            ("id", "shop_id", "email_key", "phone_key", "zone", "zone_source", "h31", "created_at", "attrs"),
            ((i, f"c{i}", f"c{i}@shop.example", f"+49170{i:07}", "UTC", "contact", i, 0, json.dumps({"first_name": f"N{i % 50}"})) for i in ids),
        )  # fmt: skip
        insert_rows(
            c, t.standing,
            ("contact_id", "zone", "language", "country", "allow_bits", "deny_bits", "closed_bits", "h31"),
            ((i, "UTC", "en", "", OFFERS_BIT, 0, 0, i) for i in ids),
        )  # fmt: skip
    return reserve_again(store, ids, size=size, channel=channel, connector=connector, **batch)


def reserve_again(
    store: Store, ids: Sequence[int], *, size: int, channel: str, connector: str, **batch: object
) -> list[int]:
    starts = range(0, len(ids), size)
    with store.write("ledger") as c:
        insert_rows(
            c, t.enrolment,
            ("id", "campaign_id", "version_id", "wave_id", "contact_id", "thing", "role", "node_id", "arrived_at", "due_at", "state", "entered_at"),
            ((i, 3, 1, 1, i, "", "treated", 7, NOW, None, "live", NOW) for i in ids),
        )  # fmt: skip
        shared = {
            "campaign_id": 3,
            "node_id": 7,
            "channel": channel,
            "connector": connector,
            "due_at": NOW,
            "decided_at": NOW,
        }
        batches = [
            c.execute(t.batch.insert().values(**shared, n=len(ids[at : at + size]), **batch).returning(t.batch.c.id)).scalar_one()
            for at in starts
        ]  # fmt: skip
        insert_rows(
            c, t.send,
            ("node_id", "enrolment_id", "contact_id", "channel", "due_at", "decided_at", "batch_id"),
            ((7, i, i, SEND_NUMBER[Channel(channel)], NOW, NOW, batches[row // size]) for row, i in enumerate(ids)),
        )  # fmt: skip
    return batches


class PlainBodies:
    """Bodies without templates: everybody gets the same words; the cid is the enrolment."""

    def __init__(self, store: Store, connectors: dict[str, Connector], skips: dict[int, str] | None = None) -> None:
        self.store, self.connectors, self.skips = store, connectors, skips or {}

    def build(self, batches: Sequence[ReadyBatch]) -> list[Built | Unbuilt]:
        return [self._one(batch) for batch in batches]

    def _one(self, batch: ReadyBatch) -> Built | Unbuilt:
        is_mail = batch.channel is Channel.EMAIL
        address = t.contact.c.email_key if is_mail else t.contact.c.phone_key
        with self.store.read() as c:
            rows = c.execute(
                sa.select(t.send.c.enrolment_id, address)
                .join_from(t.send, t.contact, t.contact.c.id == t.send.c.contact_id)
                .where(t.send.c.batch_id == batch.id, t.send.c.outcome.is_(None))
                .order_by(t.send.c.enrolment_id)
            ).all()
        rows = [row for row in rows if row[0] not in self.skips]
        people = People([row[1] or "" for row in rows], [str(row[0]) for row in rows])
        sender = Sender(address="hello@acme.example", messaging_service="MG1")
        message = (
            SharedEmail(sender, "Hello", "<p>Hi</p>", "Hi")
            if is_mail
            else SharedSms(sender, "Hi", "https://t.acme.example/twilio")
        )
        letter = Letter(message, people, [row[0] for row in rows], self.skips)
        return make_parcel(self.connectors[batch.connector], batch, letter, Needs("offers", "explicit"))


Answer = Callable[[int, list[str]], web.Response]
"""(number of the request, cids in it) → what the provider replies."""


@dataclass
class Provider:
    """A provider on loopback that counts whom it was asked to write to."""

    answer: Answer = lambda number, cids: web.Response(status=202, headers={"X-Message-Id": "m"})
    url: str = ""
    requests: int = 0
    got: Counter[str] = field(default_factory=Counter)
    """cid → how often it reached the provider."""
    bodies: list[dict[str, object]] = field(default_factory=list)
    """The requests themselves, as the provider read them."""
    held_back: tuple[asyncio.Event, asyncio.Event] | None = None
    """(set when a request has been read, waited for before any answer)."""

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        number = self.requests
        if request.content_type == "application/json":
            body = json.loads(await request.read())
            cids = [p["custom_args"]["cid"] for p in body["personalizations"]]
            self.bodies.append(body)
        else:
            form = await request.post()
            self.bodies.append(dict(form))
            cids = [str(form["StatusCallback"]).partition("cid=")[2].partition("#")[0]]
        self.got.update(cids)
        if self.held_back is not None:
            waiting, answers = self.held_back
            waiting.set()
            await answers.wait()
        return self.answer(number, cids)


@asynccontextmanager
async def provider(
    answer: Answer | None = None, held_back: tuple[asyncio.Event, asyncio.Event] | None = None
) -> AsyncIterator[Provider]:
    """A provider that listens until the block ends."""
    it = Provider(held_back=held_back) if answer is None else Provider(answer, held_back=held_back)
    app = web.Application(client_max_size=64_000_000)
    app.router.add_post("/{path:.*}", it.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        await runner.cleanup()


def connect(it: Provider) -> dict[str, Connector]:
    """The two vendors' connectors, both to this provider."""
    mail = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": it.url}
    texts = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_BASE_URL": it.url}
    return {"sendgrid": sendgrid.make(mail), "twilio": twilio.make(texts)}


def hand_over(
    store: Store,
    answer: Answer | None = None,
    *,
    clocks: Clocks | None = None,
    skips: dict[int, str] | None = None,
    stop: asyncio.Event | None = None,
    worker: str = "",
) -> tuple[WorkResult, Provider]:
    """One `work` against a provider that answers so; the ledger's invariants are checked behind it."""
    now = clocks or Clocks()

    async def go() -> tuple[WorkResult, Provider]:
        async with provider(answer) as it:
            connectors = connect(it)
            result = await work_on(
                store, PlainBodies(store, connectors, skips), connectors=connectors, rules=RULES,
                campaign_clock=now.campaign, machine_clock=now.machine, worker=worker or worker_id(), stop=stop,
            )  # fmt: skip
            for connector in connectors.values():
                await connector.close()
            return result, it

    found = asyncio.run(go())
    assert faults(store) == []
    return found


def text_answer(status: int = 201, **body: object) -> web.Response:
    """Twilio's answer to one message."""
    return web.json_response({"sid": "SM1"} | body, status=status)


@dataclass
class Clocks:
    campaign: VirtualClock = field(default_factory=lambda: VirtualClock(NOW + HOUR))
    machine: SystemClock | VirtualClock = field(default_factory=SystemClock)


def states(store: Store) -> dict[str, int]:
    """State of send → people: coalesce(outcome, batch.state)."""
    state = sa.func.coalesce(t.send.c.outcome, t.batch.c.state)
    with store.read() as c:
        rows = c.execute(
            sa.select(state, sa.func.count())
            .join_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id)
            .group_by(state)
        )
        return dict(sorted((word, n) for word, n in rows))


def faults(store: Store) -> list[str]:
    """What breaks the ledger's invariants: a batch whose n is not its rows, a batch left claimed or closed over people."""
    with store.read() as c:
        rows = sa.select(sa.func.count()).where(t.send.c.batch_id == t.batch.c.id).scalar_subquery()
        wrong = c.execute(sa.select(t.batch.c.id, t.batch.c.n, rows).where(t.batch.c.n != rows)).all()
        open_people = sa.exists().where(t.send.c.batch_id == t.batch.c.id, t.send.c.outcome.is_(None))
        lost = c.execute(sa.select(t.batch.c.id).where(t.batch.c.state.in_(("split", "withdrawn")), open_people)).all()
    return [f"batch {i}: n {n}, rows {r}" for i, n, r in wrong] + [
        f"batch {i}: open people in a dead batch" for (i,) in lost
    ]
