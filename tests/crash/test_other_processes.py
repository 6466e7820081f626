"""kill -9 of the web while webhooks come, of the sandbox while mail comes, and of one of several workers."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carillon.kernel.clock import MINUTE, SystemClock, from_micros
from carillon.sandbox.keys import keys_of
from carillon.store import tables as t
from tests.conftest import STORES, StoreMaker
from tests.crash.house import CHILDREN, DAILY, GERMAN, House, sink, wait_until

NOW = "2026-12-01T10:01"
DATA = "contact: {tier: {one_of: [gold, basic]}}\n"


def serving(process: subprocess.Popen[str]) -> str:
    """The address that a server prints when it listens."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://[\d.:]+", line):
            return found[0]
    raise AssertionError("it ended without serving")


@pytest.mark.parametrize("dialect", STORES)
@pytest.mark.timeout(180)
def test_every_acknowledged_webhook_is_stored_though_the_web_is_killed(
    dialect: str, new_store: StoreMaker, tmp_path: Path
) -> None:
    """Three kills under a flood of signed posts: what was answered 2xx is there, and each report once."""
    with sink(seed=5) as provider:
        house = House(new_store(dialect), tmp_path / "shop", provider)
        house.shop.write("data.yaml", DATA)
        house.shop.campaign("daily", DAILY, GERMAN)
        house.people(300, gold=1.0)
        house.shop.apply("daily")
        house.command("run", "daily", "--now", NOW)
        key = ec.generate_private_key(ec.SECP256R1())
        posts = [_signed(key, cid, number) for number, cid in enumerate(provider.arrived)]
        assert len(posts) == 300
        acknowledged: set[int] = set()
        for life in range(3):
            _flood(house, key, posts, acknowledged, kill_after=60 * (life + 1))
            stored = _stored(house)
            assert acknowledged <= stored
        _flood(house, key, posts, acknowledged, kill_after=None)
        assert acknowledged == _stored(house) == set(range(300))
        with house.store.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(t.event).where(_is_report())) == 300


def _signed(key: ec.EllipticCurvePrivateKey, cid: str, number: int) -> tuple[bytes, Mapping[str, str]]:
    body = f'[{{"event":"delivered","timestamp":{1_796_115_700 + number},"cid":"{cid}","sg_event_id":"e{number}"}}]\r\n'
    signature = base64.b64encode(key.sign(b"1796115700" + body.encode(), ec.ECDSA(SHA256()))).decode()
    name = "x-twilio-email-event-webhook-"
    return body.encode(), {f"{name}signature": signature, f"{name}timestamp": "1796115700"}


def _flood(
    house: House,
    key: ec.EllipticCurvePrivateKey,
    posts: list[tuple[bytes, Mapping[str, str]]],
    acknowledged: set[int],
    kill_after: int | None,
) -> None:
    """Post all that was not acknowledged yet, from eight threads; kill the web at so many answers."""
    raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    web = house.popen("web", "--port", "0", SENDGRID_WEBHOOK_PUBLIC_KEY=base64.b64encode(raw).decode())
    url = serving(web)
    waiting = [number for number in range(len(posts)) if number not in acknowledged]
    lock = threading.Lock()

    def post() -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            while True:
                with lock:
                    if not waiting:
                        return
                    number = waiting.pop()
                try:
                    answer = client.post("/webhooks/sendgrid", content=posts[number][0], headers=posts[number][1])
                except httpx.HTTPError:
                    return  # killed: the provider would come again
                assert answer.is_success, answer.text
                with lock:
                    acknowledged.add(number)
                    if len(acknowledged) == kill_after:
                        web.kill()

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    web.kill()
    web.communicate()


def _stored(house: House) -> set[int]:
    """The numbers of the reports that the store has."""
    with house.store.read() as connection:
        instants = connection.execute(sa.select(t.event.c.occurred_at).where(_is_report())).scalars()
        return {at // 1_000_000 - 1_796_115_700 for at in instants}


def _is_report() -> sa.ColumnElement[bool]:
    """Not what core told of its contacts when they came in."""
    return t.event.c.kind.not_like("contact.%")


@pytest.mark.timeout(180)
def test_a_killed_sandbox_has_everything_once(new_store: StoreMaker, tmp_path: Path) -> None:
    """The sandbox dies under a run and comes back: nobody has two in its inbox, who is called accepted has one."""
    with sink(seed=6) as unused:
        house = House(new_store("sqlite"), tmp_path / "shop", unused)
        house.shop.write("data.yaml", DATA)
        house.shop.campaign("daily", DAILY, GERMAN)
        house.people(600)
        house.shop.apply("daily")
        folder = house.folder / ".carillon" / "sandbox"
        inbox = sa.create_engine(f"sqlite:///{folder / 'sandbox.db'}")
        for kill_at in (1, 150, None):
            process = house.popen("sandbox", "--port", "0")
            run = house.popen("run", "daily", "--now", NOW, **keys_of(folder).settings(serving(process)))
            if kill_at is not None:
                _wait_for_messages(inbox, kill_at, run)
                process.kill()
            said, _ = run.communicate(timeout=100)
            assert run.returncode == 0, said
            process.kill()
            process.communicate()
            with house.store.write("ledger") as connection:
                connection.execute(t.batch.update().values(retry_at=None))
                connection.execute(t.pace.delete())  # the provider's rest is over too
            assert house.violations() == []
        states = house.states()
        assert set(states) <= {"accepted", "unsure"}
        assert sum(states.values()) == 600
        with inbox.connect() as connection:
            twice = connection.exec_driver_sql("SELECT address FROM message GROUP BY address HAVING count(*) > 1").all()
        assert twice == []
        assert _messages(inbox) >= states["accepted"]


def _wait_for_messages(inbox: sa.Engine, least: int, run: subprocess.Popen[str]) -> None:
    wait_until(lambda: run.poll() is not None or _messages(inbox) >= least, 60)


def _messages(inbox: sa.Engine) -> int:
    try:
        with inbox.connect() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM message").scalar_one())
    except sa.exc.OperationalError:  # not made yet
        return 0


@pytest.mark.postgres
@pytest.mark.timeout(180)
def test_several_workers_share_a_campaign_and_outlive_one_of_them(new_store: StoreMaker, tmp_path: Path) -> None:
    """Three workers on PostgreSQL share 80 batches, one is killed: the others finish, nobody gets two."""
    with sink(seed=8) as provider:
        house = House(new_store("postgresql"), tmp_path / "shop", provider)
        house.shop.write("data.yaml", DATA)
        at = from_micros(SystemClock().now() - 2 * MINUTE).astimezone(ZoneInfo("Europe/Berlin"))
        arms = [f"v{number}" for number in range(40)]
        german = "subject: Angebot\ntexts: {headline: Hallo}\nvariants:\n"
        german += "".join(f"  {arm}: {{subject: Angebot {arm}}}\n" for arm in arms)
        house.shop.campaign(
            "daily",
            f"audience: everyone\nentry: {{at: {at:%Y-%m-%d %H:%M}}}\n"
            f"journey: [{{email: sale, test: {{variants: [{', '.join(arms)}]}}}}]\n",
            {"sale.de.yaml": german},
        )
        house.people(2_000, gold=1.0)
        house.shop.apply("daily")
        provider.set(status=429, code=20429)
        house.command("run", "daily")
        assert house.states() == {"ready": 2_000}
        provider.set(status=None, moods={"slow": 1.0}, slow_s=1.0)
        with house.store.write("ledger") as connection:
            connection.execute(t.batch.update().values(retry_at=None))
            connection.execute(t.pace.delete())  # the provider's rest is over too
        all_begin = CHILDREN.Barrier(3)
        workers = [
            CHILDREN.Process(target=_help, args=(str(house.folder), house.environ, house.store.url, all_begin))
            for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        wait_until(lambda: len(_holders(house)) == 3, 60)
        os.kill(workers[0].pid or 0, signal.SIGKILL)
        for worker in workers:
            worker.join(90)
        assert [worker.exitcode for worker in workers] == [-signal.SIGKILL, 0, 0]
        house.command("run", "daily")
        assert house.violations() == []
        states, reached = house.states(), house.reached()
        assert set(states) <= {"accepted", "unsure"}
        assert sum(states.values()) == 2_000
        assert max(reached.values()) == 1
        assert {key for key, fate in house.fates().items() if fate == "accepted"} <= reached.keys()


def _holders(house: House) -> set[str]:
    """The workers that have begun a batch."""
    with house.store.read() as connection:
        return set(connection.execute(sa.select(t.batch.c.worker).where(t.batch.c.begun_at.is_not(None))).scalars())


def _help(folder: str, environ: Mapping[str, str], url: str, all_begin: Barrier) -> None:
    """A worker as `hand_over_batches` is one: it takes what is ready of all campaigns until nothing is."""
    from carillon.assembly import engine_of
    from carillon.delivery.work import work
    from carillon.kernel.worker import worker_id
    from carillon.plan.applied import load_rules
    from carillon.settings import read_settings
    from carillon.store.engine import Store

    store, settings = Store(url), read_settings({**environ}, root=Path(folder))
    with store.read() as connection:
        rules = load_rules(connection)
    engine = engine_of(settings, store)
    all_begin.wait(90)

    async def run() -> None:
        connectors = engine.make_connectors()
        for _ in range(2):  # what the killed one had in hand is free once it is seen to be gone
            await work(
                store, connectors=connectors, rules=rules, keyring=engine.keyring, campaign_clock=engine.campaign_clock,
                machine_clock=engine.machine_clock, worker=worker_id(),
            )  # fmt: skip
        await asyncio.gather(*(connector.close() for connector in connectors.values()))

    asyncio.run(run())
