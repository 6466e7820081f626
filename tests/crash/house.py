"""A shop whose `carillon run` is a process of its own that may die at any instant, and a counting provider outside it."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from carillon.consent.record import Said, record_consents
from carillon.consent.standing import rules_of
from carillon.feedback.ingest import ingest_feedback
from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.kernel.tokens import Keyring
from carillon.people.contacts import ContactRow, upsert_contacts
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.shop import Shop

ROOT = Path(__file__).resolve().parents[2]
SECRET_KEY = "a key of the kill suite without a comma"
KEYS = Keyring((SECRET_KEY.encode(),))
FEW_ARE_MANY = "CARILLON_TESTS_FEW_ARE_MANY"
"""Told to a child: it decides and hands over at the same time, as others do from 50,000 people on."""
SLOWED_STILL_RUNS = "CARILLON_TESTS_SLOWED_STILL_RUNS"
"""Told to a child: a connector that a 429 slows keeps twenty texts a second, where others keep one."""
CARILLON = (sys.executable, "-m", "carillon.cli.main")

# A real process each time; only the interpreter's start and the imports are shared, which are the same for every run.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.crash.house", "tests.crash.imports"])

WORKSPACE = """\
name: Acme
timezone: Europe/Berlin
currency: EUR
address: Acme GmbH, Hauptstr. 1, 10115 Berlin
languages: {en: [GB, US], de: [DE]}
public_url: https://t.acme.example
senders:
  email: {connector: sendgrid, from: Acme <hello@acme.example>}
  sms: {connector: twilio, messaging_service: MG0123456789}
topics:
  offers: {kind: marketing, name: Offers, consent: {email: explicit, sms: explicit}}
"""
DAILY = """\
audience: everyone
entry: {every: day, at: 10:00}
journey:
  - choose:
      - if: {contact: {tier: gold}}
        then: {email: sale, test: {variants: [a, b, c, d]}}
      - otherwise: {sms: text}
"""
"""Two of five get a mail in one of eight batches (language × variant), the others a text."""

GERMAN = {
    "sale.de.yaml": "subject: Angebot\ntexts: {headline: Hallo}\nvariants:\n"
    + "".join(f"  {arm}: {{subject: Angebot {arm}}}\n" for arm in "abcd"),
    "text.sms.de.txt": "Angebot: STOP beendet das",
}


Key = tuple[int, int]
"""(node, enrolment): the identity of a send."""


class Sink:
    """The provider's process."""

    def __init__(self, seed: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.sink", str(seed)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def set(self, **attributes: object) -> None:
        """How it answers from now on."""
        self._http.post("/sink/set", json=attributes).raise_for_status()

    def moods(self, **shares: float) -> None:
        self.set(moods=shares)

    def forget(self) -> None:
        """Begin to count anew."""
        self._http.post("/sink/forget").raise_for_status()

    def seen(self) -> dict[str, Any]:
        return dict(self._http.post("/sink/seen").json())

    @property
    def arrived(self) -> dict[str, int]:
        """cid → how often it arrived."""
        return dict(self.seen()["arrived"])

    def close(self) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def sink(seed: int = 1) -> Iterator[Sink]:
    it = Sink(seed)
    try:
        yield it
    finally:
        it.close()


@dataclass
class House:
    """A workspace of real files over a store; what is done to it is done by the command line, from outside."""

    store: Store
    folder: Path
    sink: Sink
    slowed_still_runs: bool = field(default=False, kw_only=True)
    """For the short form of an ordeal: the minutes behind a 429 are waited for in the long one."""
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.shop = Shop(self.store, self.folder)
        self.shop.write("workspace.yaml", WORKSPACE)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "CARILLON_DATABASE_URL": self.store.url, "CARILLON_SECRET_KEY": SECRET_KEY, "CARILLON_WORKSPACE": "campaigns",
            "SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": self.sink.url,
            "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "token", "TWILIO_BASE_URL": self.sink.url,
        }  # fmt: skip

    def people(self, n: int, *, gold: float = 0.4, bad: int = 0, prefix: str = "p") -> None:
        """Contacts with both addresses and a yes to both channels; the last `bad` of each half are always refused."""
        n_gold = round(n * gold)
        rows = []
        for i in range(n):
            is_gold = i < n_gold
            is_bad = (n_gold if is_gold else n) - i <= bad
            end = f"{1 + i % 2:04}" if is_bad and not is_gold else "5555"
            rows.append(
                ContactRow(
                    f"{prefix}{i}", email=f"{'bad' if is_bad and is_gold else prefix}{i}@example.com",
                    phone=f"+49170{i:05}{end}", phone_country="DE", country=("GB", "DE")[i % 2], timezone="Europe/Berlin",
                    attrs={"tier": "gold" if is_gold else "basic"},
                )
            )  # fmt: skip
        self._add(rows)

    def _add(self, rows: Sequence[ContactRow]) -> None:
        rules, now = rules_of(self.shop.loaded.workspace), self.shop.clock.now()
        with self.store.write("core") as connection:
            upsert_contacts(connection, rules, rows, workspace_zone="Europe/Berlin", source="test", at=now)
            ids = connection.execute(sa.select(t.contact.c.id)).scalars().all()
            said = [Said(i, "offers", channel, "yes", "test", "", now) for i in ids for channel in ("email", "sms")]
            record_consents(connection, rules, said)

    # -------------------------------------------------------------------------------------------- processes

    def start(
        self, *arguments: str, crash_at: str = "", few_are_many: bool = False
    ) -> multiprocessing.process.BaseProcess:
        """`carillon ARGUMENTS` in a process of its own, which may decide and hand over few people at the same time."""
        environ = self.environ | ({"CARILLON_CRASH_AT": crash_at} if crash_at else {})
        environ |= {FEW_ARE_MANY: "1"} if few_are_many else {}
        environ |= {SLOWED_STILL_RUNS: "1"} if self.slowed_still_runs else {}
        child = CHILDREN.Process(target=_carillon, args=(str(self.folder), environ, arguments))
        child.start()
        return child

    def command(self, *arguments: str, expect: Sequence[int] = (0,)) -> str:
        """What a command said; a code that was not expected fails the test with its whole output."""
        child = self.start(*arguments)
        child.join(120)
        said = self.said
        assert child.exitcode in expect, f"carillon {' '.join(arguments)} ended with {child.exitcode}:\n{said}"
        return said

    def popen(self, *arguments: str, limit: int | None = None, **environ: str) -> subprocess.Popen[str]:
        """The command as a shell starts it, interpreter and all; `limit` is the most bytes of a file that it may write."""
        whole = {**os.environ, **self.environ, **environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [*CARILLON, *arguments], cwd=self.folder, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip

    @property
    def said(self) -> str:
        """Output of the newest process."""
        return (self.folder / "said.txt").read_text(errors="replace")

    # ---------------------------------------------------------------------------------------- what is seen

    def violations(self) -> list[str]:
        return self.shop.violations()

    def states(self) -> dict[str, int]:
        """State of send → people."""
        state = sa.func.coalesce(t.send.c.outcome, t.batch.c.state)
        query = sa.select(state, sa.func.count()).outerjoin_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id)
        with self.store.read() as connection:
            return dict(connection.execute(query.group_by(state)).tuples().all())

    def fates(self) -> dict[Key, str]:
        """The state of every send."""
        state = sa.func.coalesce(t.send.c.outcome, t.batch.c.state)
        with self.store.read() as connection:
            rows = connection.execute(
                sa.select(t.send.c.node_id, t.send.c.enrolment_id, state).outerjoin_from(
                    t.send, t.batch, t.batch.c.id == t.send.c.batch_id
                )
            )
            return {(node, enrolment): fate for node, enrolment, fate in rows}

    def doubts(self) -> set[Key]:
        """The sends that are unsure now, and nobody has decided about."""
        return {key for keys in self._unsure().values() for key in keys}

    def looked_up(self) -> dict[int, list[bool]]:
        """Unsure batch → of each of its people whether the message arrived."""
        reached = self.reached()
        return {batch_id: [key in reached for key in keys] for batch_id, keys in self._unsure().items()}

    def _unsure(self) -> dict[int, list[Key]]:
        found: dict[int, list[Key]] = {}
        with self.store.read() as connection:
            rows = connection.execute(
                sa.select(t.batch.c.id, t.send.c.node_id, t.send.c.enrolment_id)
                .join_from(t.batch, t.send, t.send.c.batch_id == t.batch.c.id)
                .where(t.batch.c.state == "unsure", t.batch.c.resend_at.is_(None), t.send.c.outcome.is_(None))
            )
            for batch_id, node, enrolment in rows:
                found.setdefault(batch_id, []).append((node, enrolment))
        return found

    def settled(self, keys: set[Key]) -> dict[Key, tuple[str, str | None]]:
        """What became of these sends, and why: the state, and the note of the batch."""
        if not keys:
            return {}
        state = sa.func.coalesce(t.send.c.outcome, t.batch.c.state)
        query = sa.select(t.send.c.node_id, t.send.c.enrolment_id, state, t.batch.c.note)
        with self.store.read() as connection:
            rows = connection.execute(query.outerjoin_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id))
            return {(node, person): (fate, note) for node, person, fate, note in rows if (node, person) in keys}

    def reached(self) -> dict[Key, int]:
        """How many messages of each send arrived, by the tokens in them."""
        found: dict[Key, int] = {}
        for cid, n in self.sink.arrived.items():
            token = KEYS.read(cid)
            assert token is not None, f"a message arrived with a cid that is not ours: {cid}"
            key = (token.node, token.enrolment)
            found[key] = found.get(key, 0) + n
        return found

    def language_of(self, cid: str) -> str:
        """The language of the batch in which this message left."""
        token = KEYS.read(cid)
        assert token is not None
        with self.store.read() as connection:
            return str(
                connection.scalar(
                    sa.select(t.batch.c.language)
                    .join_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id)
                    .where(t.send.c.node_id == token.node, t.send.c.enrolment_id == token.enrolment)
                )
            )

    def report(self, cids: Mapping[str, int] | Sequence[str], at: Micros) -> int:
        """The provider's webhook says `delivered` of these; how many reports were new."""
        with self.store.read() as connection:
            channels = dict(connection.execute(sa.select(t.send.c.node_id, t.send.c.channel).distinct()).tuples().all())
        reports = []
        for cid in cids:
            token = KEYS.read(cid)
            assert token is not None
            channel = Channel(channels[token.node])
            reports.append(Feedback(FeedbackKind.DELIVERED, at, channel, "test", f"{cid} delivered", cid=cid))
        return ingest_feedback(self.store, reports, KEYS, at).new


def _carillon(folder: str, environ: Mapping[str, str], arguments: Sequence[str]) -> None:
    """The child: the command line's own main, its output in a file."""
    os.chdir(folder)
    os.environ.update(environ)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if FEW_ARE_MANY in environ:
        from carillon.advance import together
        from carillon.delivery import apart

        together.MANY, together.SLICE = 10, 20
        apart.MANY = 10
    if SLOWED_STILL_RUNS in environ:
        from carillon.delivery import settling

        settling.LEAST = 1_200
    from carillon.cli.main import main

    main(list(arguments), prog_name="carillon")


def kill(child: multiprocessing.process.BaseProcess, after_s: float) -> bool:
    """kill -9 after a while, unless it ended by itself; whether it was killed (by us or by its crash point)."""
    child.join(after_s)
    if child.is_alive() and child.pid is not None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself since it was asked
            os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    return child.exitcode == -signal.SIGKILL


def wait_until(holds: Any, seconds: float = 20.0, every_s: float = 0.05) -> None:
    """Fails the test where it does not become true in time; whoever asks often takes the time of those they wait for."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(every_s)
