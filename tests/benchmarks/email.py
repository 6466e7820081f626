"""E-mail from the segment query to the settled ledger, through the real SendGrid connector, as an advance does it.

A million people with a name, four products, tracked links and an unsubscribe link each (1.1 KB of values), and 4 % more
who are suppressed, without consent or in no audience; three mails each in the window of a cap. The sink answers as
SendGrid does. Each advance runs in a process of its own, whose memory and stages are told. An advance decides and hands
over at the same time, so enter + reserve is measured by itself, over another shop of the same size.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from carillon.store.engine import Store
from tests.benchmarks.advancing import Run, advance_apart, plan_apart, work_apart
from tests.benchmarks.crowd import crowd
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, watch
from tests.benchmarks.sink import Sink, sink
from tests.dbstat import asked_of_pages


def email_sqlite(ground: Ground) -> Iterable[Figure]:
    people = ground.size(1_000_000)
    store = ground.sqlite()
    with sink() as target:
        run = _advanced(ground, store, people, target)
        yield from _figures("SQLite", run, people, 80_000, 200_000, _sdk_loop(target, ground.size(1_000)))
    yield _planned("SQLite", ground, ground.sqlite(), people, 5, 2.5)
    yield _bytes("SQLite", _sqlite_bytes(store), 80, 50)
    yield Figure("growth of a worker's memory, 1 M on SQLite", run.growth / 2**20, "MB", "less", 250, 120)


def email_postgres(ground: Ground) -> Iterable[Figure]:
    people = ground.size(1_000_000)
    with ground.postgres() as store, sink() as target:
        run = _advanced(ground, store, people, target)
        yield from _figures("PostgreSQL", run, people, 40_000, 100_000, None)
        yield _bytes("PostgreSQL", _postgres_bytes(store), 160, 110)
    with ground.postgres() as store:
        yield _planned("PostgreSQL", ground, store, people, 15, 8)


def email_workers(ground: Ground) -> Iterable[Figure]:
    """Hand-over alone: what is ready is ready, and the provider takes 250 ms for each answer."""
    people = ground.size(400_000)
    runs = dict(_crews(ground, people))
    one, four = runs[1], runs[4]
    yield Figure(
        "four workers on PostgreSQL, a sink that answers after 250 ms", people / four.wall, "recipients/s", "more",
        against=f"one worker, {people / one.wall:,.0f}/s", ratio=one.wall / four.wall, must_ratio=3, aim=None,
        cpu_us=four.cpu / people * 1e6,
    )  # fmt: skip
    yield Figure("CPU a recipient, four workers against one", four.cpu / one.cpu, "×", "less", 1.3)


def _crews(ground: Ground, people: int) -> Iterator[tuple[int, Run]]:
    for workers in (1, 4):
        with ground.postgres() as store, sink(0.25) as target:
            now = crowd(store, ground.path("workspace"), people).clock.now()
            run = work_apart(store.url, target, now, workers, ground.postmaster)
            assert run.people == {"accepted": people}, run.people
            yield workers, run


def email_sizes(ground: Ground) -> Iterable[Figure]:
    """The cost of a recipient and the memory of a worker, from 100,000 people to five million, on SQLite."""
    sizes = {name: ground.size(n) for name, n in (("100 k", 100_000), ("1 M", 1_000_000), ("5 M", 5_000_000))}
    cost: dict[str, float] = {}
    for name, people in sizes.items():
        with sink() as target:
            run = _advanced(ground, ground.sqlite(), people, target)
        cost[name] = run.cpu / people * 1e6
        yield Figure(f"growth of a worker's memory, {name}", run.growth / 2**20, "MB", "less", 250, 120)
    for larger, smaller in (("1 M", "100 k"), ("5 M", "1 M")):
        note = f"{cost[larger]:.1f} against {cost[smaller]:.1f} µs of CPU"
        ratio = cost[larger] / cost[smaller]
        yield Figure(f"cost of a recipient, {larger} against {smaller}", ratio, "×", "less", 1.2, 1.0, note=note)


def _advanced(ground: Ground, store: Store, people: int, target: Sink) -> Run:
    now = crowd(store, ground.path("workspace"), people).clock.now()
    with watch(target.pid, *(() if ground.postmaster is None else (ground.postmaster,))) as spent:
        run = advance_apart(store.url, target, now)
    assert run.people == {"accepted": people}, run.people
    run.cpu = max(run.cpu, spent.cpu)
    return run


def _figures(
    where: str, run: Run, people: int, must: float, aim: float, naive: float | None
) -> Iterator[Figure]:  # fmt: skip
    speed = people / run.wall
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.stages.items() if seconds > 0.05)
    yield Figure(
        f"e-mail end to end, {where}", speed, "recipients/s", "more", must, aim,
        against="" if naive is None else f"loop around the SendGrid SDK, {naive:,.0f}/s",
        ratio=None if naive is None else speed / naive, must_ratio=None if naive is None else 60,
        cpu_us=run.cpu / people * 1e6, note=stages,
    )  # fmt: skip


def _planned(where: str, ground: Ground, store: Store, people: int, must: float, aim: float) -> Figure:
    run = plan_apart(store.url, crowd(store, ground.path("workspace"), people).clock.now())
    assert run.people == {"ready": people}, run.people
    note = f"{run.cpu:.1f} s of our own CPU"
    return Figure(f"enter + reserve, {where}", run.wall, "s", "less", must, aim, note=note)


def _bytes(where: str, found: float, must: float, aim: float) -> Figure:
    return Figure(f"ledger bytes a send, {where}", found, "bytes", "less", must, aim)


def _sqlite_bytes(store: Store) -> float:
    tables = "('send', 'ix_send_batch', 'ix_send_contact', 'batch', 'ix_batch_ready', 'ix_batch_late', 'attempt')"
    # The file alone: of an attached one dbstat tells pages of the size that the first one has.
    query = f"SELECT sum(pgsize), (SELECT count(*) FROM send) FROM dbstat WHERE name IN {tables}"
    [size, sends] = asked_of_pages(store.files()["ledger"], query)
    return float(size) / int(sends)


def _postgres_bytes(store: Store) -> float:
    size = " + ".join(f"pg_total_relation_size('ledger.{name}')" for name in ("send", "batch", "attempt"))
    with store.read() as connection:
        return float(connection.exec_driver_sql(f"SELECT ({size})::float / count(*) FROM ledger.send").scalar_one())


def _sdk_loop(target: Sink, people: int) -> float:
    """A person after the other, as the SDK's own examples do it; recipients a second."""
    from sendgrid import SendGridAPIClient
    from sendgrid.helpers.mail import Mail

    client = SendGridAPIClient("SG.x", host=target.url)
    began = time.perf_counter()
    for number in range(people):
        words = f"<h1>Ada{number}, four for you</h1>" + "<p><a href='https://acme.example/p/1'>Shoe</a> 19.90</p>" * 20
        mail = Mail("hello@acme.example", f"ada.{number}@mail.example", f"Ada{number}, four for you", words, words)
        assert client.send(mail).status_code == 202
    return people / (time.perf_counter() - began)
