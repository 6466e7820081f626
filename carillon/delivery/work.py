"""Work: take due batches, build their bodies, claim, hand over and settle, all at once and in this order for each.

Bodies are built in a thread while others are on the wire, and claims and settlements of many batches share a commit.
It ends when no batch that it may touch is due any more; what was deferred says when it may be tried again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery import apart
from carillon.delivery.ask_again import ask_again
from carillon.delivery.bodies import BUILDERS, Bodies
from carillon.delivery.effects import suppress_refused
from carillon.delivery.holds import held_connectors
from carillon.delivery.lanes import Desk, lanes_of, run_lane
from carillon.delivery.model import Built, Claimed, ReadyBatch, Settled, WorkResult
from carillon.delivery.parcels import BodyBuilder, Unbuilt
from carillon.delivery.protocol import Connector
from carillon.delivery.reclaim import reclaim
from carillon.delivery.release import release_late
from carillon.delivery.supply import Supply
from carillon.delivery.take import Wanted, paced_until, postpone, put_back, take
from carillon.delivery.writer import LedgerWriter
from carillon.kernel.clock import SECOND, Clock, Micros
from carillon.kernel.crash import crash_point
from carillon.kernel.heap import FreedMemory, keep_freed_memory, rare_collections
from carillon.kernel.tokens import Keyring
from carillon.plan.rules import Rules
from carillon.store.engine import Store
from carillon.store.tables import batch

PEOPLE_AT_ONCE = 2_000
"""People whose columns are fetched together; twice as many hold twenty megabytes more, and are no faster."""
PEOPLE_IN_HAND = 32_000
"""As many are taken at a time, at most."""
IN_HAND_S = 1
"""A worker takes no more at a time than it hands over in so many seconds, one such time ahead: the rest is for others, too."""
MOST_BATCHES = 256
UNBUILT_WAIT = 60 * SECOND
PATIENCE = 20 * SECOND
"""A work waits so long for the pace of a connector; what must wait longer is another run's."""
LOOK_AGAIN = SECOND
"""While it waits it looks so often whether the pace was changed, or the connector let go."""

Progress = Callable[[WorkResult], None]


async def work(
    store: Store,
    *,
    connectors: Mapping[str, Connector],
    rules: Rules,
    keyring: Keyring,
    campaign_clock: Clock,
    machine_clock: Clock,
    worker: str,
    campaign_id: int | None = None,
    refresh: Callable[[], None] | None = None,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    supply: Supply | None = None,
) -> WorkResult:
    """Hand over what is due (of one campaign, or of all) and say what became of it, in people.

    `worker` is `kernel.worker.worker_id()`. `refresh` folds new intakes and applies exits: it is called, in a thread,
    before each round of batches is built. `stop` ends the work between two batches; what has begun is settled.
    While `supply` goes on nothing more being due is no end: more is waited for.
    """
    here = Bodies(store, connectors, rules, keyring, campaign_clock)
    are_many = supply is not None and supply.people >= apart.MANY and store.runs_here
    makers = apart.makers_of(connectors) if are_many else {}
    with apart.built_apart(here, store, makers, rules, keyring, campaign_clock) as bodies:
        return await work_on(
            store, bodies, connectors=connectors, rules=rules, campaign_clock=campaign_clock, machine_clock=machine_clock,
            worker=worker, campaign_id=campaign_id, refresh=refresh, progress=progress, stop=stop, supply=supply,
        )  # fmt: skip


async def work_on(
    store: Store,
    bodies: BodyBuilder,
    *,
    connectors: Mapping[str, Connector],
    rules: Rules,
    campaign_clock: Clock,
    machine_clock: Clock,
    worker: str,
    campaign_id: int | None = None,
    refresh: Callable[[], None] | None = None,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    supply: Supply | None = None,
) -> WorkResult:
    """`work` with bodies from elsewhere: proofs and tests bring their own."""
    keep_freed_memory()
    desk_of = partial(Desk, worker=worker, campaign_clock=campaign_clock, machine_clock=machine_clock, held={})
    late = await asyncio.to_thread(_clear, store, campaign_clock.now(), machine_clock.now(), campaign_id)
    async with LedgerWriter(store) as writer:
        desk = desk_of(writer=writer, stop=stop or asyncio.Event())
        with rare_collections():
            its = _Work(store, desk, bodies, connectors, rules, campaign_id, refresh, progress, late)
            with its.fed_by(supply):
                return await its.run()


def _clear(store: Store, now: Micros, machine_now: Micros, campaign_id: int | None) -> int:
    """Settle what lapsed, and make people of batches that are too late due again; how many the latter are."""
    reclaim(store, now=now, machine_now=machine_now)
    with store.write("ledger") as connection:
        return release_late(connection, now, campaign_id)


class _Work:
    """One run of `work`: the taking, the queues before the lanes, and the counts."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        bodies: BodyBuilder,
        connectors: Mapping[str, Connector],
        rules: Rules,
        campaign_id: int | None,
        refresh: Callable[[], None] | None,
        progress: Progress | None,
        late: int,
    ) -> None:
        self._store, self._desk, self._bodies, self._rules = store, desk, bodies, rules
        self._connectors, self._campaign_id = connectors, campaign_id
        self._refresh, self._progress = refresh, progress
        self._queues: dict[str, asyncio.Queue[Built | None]] = {
            name: asyncio.Queue(maxsize=lanes_of(c)) for name, c in connectors.items()
        }
        self._in_hand: set[int] = set()
        self._settled = asyncio.Event()
        self._people: Counter[str] = +Counter(released=late)
        self._batches, self._began = 0, desk.machine_clock.now()
        self._settled_at_rest = -1
        self._unbuilt: dict[int, str] = {}
        self._supply: Supply | None = None
        self._freed = FreedMemory()

    @contextmanager
    def fed_by(self, supply: Supply | None) -> Iterator[None]:
        """Hear of what becomes ready while this runs."""
        self._supply = supply
        if supply is None:
            yield
            return
        supply.heard_by(partial(asyncio.get_running_loop().call_soon_threadsafe, self._settled.set))
        try:
            yield
        finally:
            supply.nobody_hears()

    async def run(self) -> WorkResult:
        async with self._lanes():
            try:
                await self._feed()
            except Exception as error:  # lanes settle what they have begun before it is raised
                self._desk.faults.append(error)
        await self._suppress()
        if self._desk.faults:
            raise self._desk.faults[0]
        return await asyncio.to_thread(self._final)

    async def _feed(self) -> None:
        upcoming = asyncio.ensure_future(self._next())
        try:
            while batches := await upcoming:
                upcoming = asyncio.ensure_future(self._next())  # while these are built
                await self._hear()
                await self._build_all_of(batches)
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    async def _hear(self) -> None:
        if self._refresh is not None:
            await asyncio.to_thread(self._refresh)

    async def _build_all_of(self, batches: Sequence[ReadyBatch]) -> None:
        chunks = iter(_chunks(batches, PEOPLE_AT_ONCE))
        builders = [self._build_all(chunks) for _ in range(BUILDERS)]
        for ended in await asyncio.gather(*builders, return_exceptions=True):
            if ended is not None:  # raised once both have let go of the lanes' queues
                raise ended

    async def _build_all(self, chunks: Iterator[Sequence[ReadyBatch]]) -> None:
        for chunk in chunks:
            await self._build(chunk)

    @asynccontextmanager
    async def _lanes(self) -> AsyncIterator[None]:
        lanes = [
            asyncio.create_task(run_lane(self._desk, connector, self._queues[name], self._done))
            for name, connector in self._connectors.items()
            for _ in range(lanes_of(connector))
        ]
        try:
            yield
        except BaseException:  # cancelled: what is on the wire is waited for, else all of it would be unsure
            self._desk.is_cancelled.set()
            raise
        finally:
            for name, connector in self._connectors.items():
                for _ in range(lanes_of(connector)):
                    await self._queues[name].put(None)
            await asyncio.gather(*lanes)
            for batch_id in self._in_hand:
                await self._put_back(batch_id)

    async def _next(self) -> list[ReadyBatch]:
        """The next batches; waits while those in hand may still divide into new ones. Nothing more: an empty list."""
        has_waited = False
        while not self._desk.is_closing:
            if has_waited:
                await self._hear()
            self._people.update(await asyncio.to_thread(self._ask_again))
            self._settled.clear()
            taken = await self._take()
            if taken:
                return taken
            has_waited = True
            if self._in_hand or (self._supply is not None and self._supply.goes_on):
                await self._settled.wait()
            elif self._settled.is_set():
                continue  # what was settled while we looked may have divided into batches that we did not see
            elif not await self._pause():
                return []
        return []

    def _ask_again(self) -> Counter[str]:
        now, machine_now = self._desk.campaign_clock.now(), self._desk.machine_clock.now()
        return ask_again(self._store, now=now, machine_now=machine_now, campaign_id=self._campaign_id)

    async def _pause(self) -> bool:
        """Wait a moment for the pace where that is short; False where nothing waits for it, or for longer than a run should.

        Where nothing was settled since the last wait, the connector does not recover so soon: another run asks again.
        """
        now, settled = self._desk.machine_clock.now(), self._people.total() - self._people["deferred"]
        until = await asyncio.to_thread(self._paced_until)
        if until is None or until - now > PATIENCE or settled == self._settled_at_rest:
            return False
        if until - now <= LOOK_AGAIN:
            self._settled_at_rest = settled
        until = min(max(until, now), now + LOOK_AGAIN)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._desk.stop.wait(), (until - now) / SECOND + 0.002)
        return self._desk.machine_clock.now() >= until  # a clock that stands still brings nothing more

    def _paced_until(self) -> Micros | None:
        with self._store.read() as connection:
            return paced_until(connection, self._wanted())

    async def _take(self) -> list[ReadyBatch]:
        taking = asyncio.ensure_future(self._desk.writer.run(_take_all, self._wanted()))
        try:
            await asyncio.shield(taking)
        finally:  # cancelled or not: what was taken must be known, to be put back
            taken = await taking
            self._in_hand |= {b.id for b in taken}
        return taken

    def _wanted(self) -> Wanted:
        desk = self._desk
        names = tuple(name for name in self._connectors if name not in desk.held)
        now, machine_now = desk.campaign_clock.now(), desk.machine_clock.now()
        return Wanted(desk.worker, names, self._campaign_id, now, machine_now, self._fair(machine_now))

    def _fair(self, machine_now: Micros) -> int:
        """How many batches this worker may take: what keeps its lanes busy, or what it has shown to hand over soon."""
        lanes = sum(lanes_of(connector) for connector in self._connectors.values())
        elapsed = max(machine_now - self._began, 1)
        soon = self._batches * IN_HAND_S * SECOND // elapsed
        mean = sum(self._people.values()) / self._batches if self._batches else PEOPLE_AT_ONCE
        return int(min(MOST_BATCHES, max(lanes, min(soon, PEOPLE_IN_HAND / max(mean, 1)))))

    async def _build(self, chunk: Sequence[ReadyBatch]) -> None:
        for result in await asyncio.to_thread(self._built, chunk):
            match result:
                case Built():
                    await self._queues[result.batch.connector].put(result)
                case Unbuilt(batch_id, reason):
                    self._unbuilt[batch_id] = reason
                    retry_at = self._desk.machine_clock.now() + UNBUILT_WAIT
                    await self._desk.writer.run(postpone, (batch_id, self._desk.worker, retry_at, reason))
                    self._let_go(batch_id)

    def _built(self, chunk: Sequence[ReadyBatch]) -> Sequence[Built | Unbuilt]:
        self._freed.after(sum(batch.n for batch in chunk))
        return self._bodies.build(chunk)

    async def _done(self, built: Built, claimed: Claimed | None, written: list[Settled]) -> None:
        if claimed is None:
            await self._put_back(built.batch.id)
        else:
            self._batches += 1
            if self._supply is not None:
                self._supply.handed_over.tell(built.batch.node_id, built.batch.id, built.batch.n)
            self._people.update(claimed.dropped)
        for settled in written:
            self._people.update(settled.people)
            if settled.held is not None:
                self._desk.held.setdefault(built.batch.connector, settled.held)
        self._let_go(built.batch.id)
        if self._progress is not None:
            self._progress(self._result())

    async def _put_back(self, batch_id: int) -> None:
        try:
            await self._desk.writer.run(put_back, (batch_id, self._desk.worker))
        except Exception as error:  # what stays in hand is free when the hold is over
            self._desk.faults.append(error)

    def _let_go(self, batch_id: int) -> None:
        self._in_hand.discard(batch_id)
        self._settled.set()

    async def _suppress(self) -> None:
        crash_point("before_effects")
        await asyncio.to_thread(suppress_refused, self._store, self._rules)

    def _result(self) -> WorkResult:
        return WorkResult(self._batches, dict(self._people), dict(self._desk.held), dict(self._unbuilt))

    def _final(self) -> WorkResult:
        ready = [batch.c.state == "ready"]
        if self._campaign_id is not None:
            ready.append(batch.c.campaign_id == self._campaign_id)
        with self._store.read() as connection:
            retry_at = connection.execute(sa.select(sa.func.min(batch.c.retry_at)).where(*ready)).scalar()
            waiting = connection.execute(sa.select(batch.c.connector).where(*ready).distinct()).scalars().all()
            held = held_connectors(connection)
        missing = {name: "not configured" for name in waiting if name not in self._connectors}
        held = {name: reason for name, reason in held.items() if name in waiting} | missing | self._desk.held
        return WorkResult(self._batches, dict(self._people), held, dict(self._unbuilt), retry_at)


def _take_all(connection: Connection, wishes: Sequence[Wanted]) -> list[list[ReadyBatch]]:
    return [take(connection, wanted) for wanted in wishes]


def _chunks(batches: Sequence[ReadyBatch], most: int) -> list[list[ReadyBatch]]:
    chunks: list[list[ReadyBatch]] = [[]]
    people = 0
    for batch_ in batches:
        if chunks[-1] and people + batch_.n > most:
            chunks.append([])
            people = 0
        chunks[-1].append(batch_)
        people += batch_.n
    return chunks
