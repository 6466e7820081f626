"""A lane: one place on a connector. It claims a built batch, hands it over at once, and has the outcome written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from carillon.delivery.claim import Offer, claim
from carillon.delivery.model import LEAST_LEASE, Built, Claimed, Released, Settled, Settlement
from carillon.delivery.protocol import Accepted, Connector, Deferred, Held, Outcome, Unsure
from carillon.delivery.settle import settle
from carillon.delivery.settling import Settling
from carillon.delivery.writer import LedgerWriter
from carillon.kernel.clock import Clock
from carillon.kernel.crash import crash_point

MOST_LANES = 8
SETTLE_AGAIN_S = (0.2, 1.0, 3.0)
"""Waits between attempts to write an outcome. To write it twice changes nothing: only the first finds the batch claimed."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all lanes share."""

    writer: LedgerWriter
    worker: str
    campaign_clock: Clock
    machine_clock: Clock
    stop: asyncio.Event
    held: dict[str, str]
    """Connectors that were put on hold during this work."""
    faults: list[Exception] = field(default_factory=list)
    """What broke this work (a full disk, a lost database); nothing more is begun after it."""

    is_cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_closing(self) -> bool:
        """Nothing more is begun; what has begun is settled."""
        return self.stop.is_set() or self.is_cancelled.is_set() or bool(self.faults)


def lanes_of(connector: Connector) -> int:
    """How many batches may be in flight on this connector from one process."""
    return max(1, min(connector.capabilities.concurrency, MOST_LANES))


_Written = Coroutine[Any, Any, list[Settled]]
"""What became of a batch, on its way into the ledger."""


async def _hand_over_one(
    desk: Desk, connector: Connector, built: Built, before: Awaitable[None]
) -> tuple[Claimed, _Written, bool] | None:
    """Claim a batch and hand it over, once the end of the lane's last one is written; None where it is not ours.

    Returns what is still to be written, and whether the next one may be claimed with it.
    """
    if desk.is_closing or connector.name in desk.held:
        return None
    crash_point("before_claim")
    claimed = await desk.writer.run(claim, Offer(built, desk.worker, desk.campaign_clock, desk.machine_clock))
    await before  # one commit with the claim, mostly
    if claimed is None:
        return None
    if not claimed.rows:
        return claimed, _nothing(), False
    crash_point("after_claim_commit")
    if desk.faults or not _lease_suffices(desk, claimed.lease_until):
        why = "another hand-over broke" if desk.faults else "too little of the lease was left"
        return claimed, _whole(desk, claimed, Released(why)), False
    if not built.whole:
        return claimed, _by_windows(desk, connector, claimed), False
    outcome = (await _hand_over(connector, claimed, claimed.rows))[0]
    crash_point("after_hand_over_before_settle")
    return claimed, _whole(desk, claimed, outcome), isinstance(outcome, Accepted) and outcome.rest_s is None


async def _nothing() -> list[Settled]:
    """Nobody was left to claim the batch for."""
    return []


async def _whole(desk: Desk, claimed: Claimed, outcome: Outcome | Released) -> list[Settled]:
    settled = await _settle(desk, Settlement(claimed, outcome))
    crash_point("after_settle")
    return [settled]


async def _by_windows(desk: Desk, connector: Connector, claimed: Claimed) -> list[Settled]:
    size = claimed.window
    windows = [claimed.rows[at : at + size] for at in range(0, len(claimed.rows), size)]
    enrolments = claimed.built.enrolments
    written: list[Settled] = []
    for this, following in zip(windows, [*windows[1:], None], strict=True):
        outcomes = await _hand_over(connector, claimed, this)
        crash_point("after_hand_over_before_settle")
        people = {enrolments[row]: outcome for row, outcome in zip(this, outcomes, strict=True)}
        if following is not None and not _must_stop(outcomes):
            await _breathe(desk, claimed, len(this))
        goes_on = following is not None and not desk.is_closing and not _must_stop(outcomes)
        window = enrolments[following[-1]] if goes_on and following else None
        written.append(await _settle(desk, Settlement(claimed, people=people, window=window)))
        crash_point("mid_hand_over" if window else "after_settle")
        if window is None or not written[-1].won:
            break
        if not _lease_suffices(desk, written[-1].lease_until):
            written.append(await _settle(desk, Settlement(claimed)))
            break
    return written


def _must_stop(outcomes: Sequence[Outcome]) -> bool:
    """The provider asks for a pause or refuses us: beginning the next window would only add to it."""
    ours = [o for o in outcomes if not (isinstance(o, Deferred) and o.because == "person")]
    return any(isinstance(outcome, Deferred | Held) for outcome in ours)


async def _breathe(desk: Desk, claimed: Claimed, people: int) -> None:
    """As long as so many people may take while the provider wants less: a second, mostly."""
    if claimed.per_minute is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(desk.stop.wait(), 60 * people / claimed.per_minute)


async def _hand_over(connector: Connector, claimed: Claimed, rows: Sequence[int]) -> Sequence[Outcome]:
    try:
        return await connector.hand_over(claimed.built.parcel, rows)
    except Exception as error:  # a connector never raises; one that does may have sent
        outcome = Unsure(f"{type(error).__name__}: {error}")
        return [outcome] if claimed.built.whole else [outcome] * len(rows)


async def _settle(desk: Desk, settlement: Settlement) -> Settled:
    wish = Settling(settlement, desk.campaign_clock.now(), desk.machine_clock.now())
    for wait_s in SETTLE_AGAIN_S:
        try:
            return await desk.writer.run(settle, wish)
        except sa.exc.DBAPIError:  # a connection that was cut comes back, a full disk is cleared: what is known is kept
            await asyncio.sleep(wait_s)
    return await desk.writer.run(settle, wish)


def _lease_suffices(desk: Desk, lease_until: int) -> bool:
    return lease_until - desk.machine_clock.now() >= LEAST_LEASE


Done = Callable[[Built, Claimed | None, list[Settled]], Awaitable[None]]


async def run_lane(desk: Desk, connector: Connector, queue: asyncio.Queue[Built | None], done: Done) -> None:
    """Work on what the queue brings until it brings None; after a fault only let go of it.

    While it is written that a batch was accepted the next one is claimed: they share a turn at the ledger.
    """
    ending: asyncio.Future[None] = asyncio.ensure_future(asyncio.sleep(0))
    while (built := await queue.get()) is not None:
        ending = await _work_on(desk, connector, built, ending, done)
    await ending


async def _work_on(
    desk: Desk, connector: Connector, built: Built, before: asyncio.Future[None], done: Done
) -> asyncio.Future[None]:  # fmt: skip
    """Hand a batch over; returns its end, which is to be waited for before the next one leaves."""
    handed_over = None
    try:
        handed_over = await _hand_over_one(desk, connector, built, before)
    except Exception as error:  # the other lanes must settle what they have begun, then the work raises this
        desk.faults.append(error)
    await before
    if handed_over is None:
        await done(built, None, [])
        return before
    claimed, written, is_next_welcome = handed_over
    ending = asyncio.ensure_future(_end(desk, claimed, written, done))
    if not is_next_welcome:
        await ending
    await asyncio.sleep(0)  # it stands in line before the next claim does: no lane ever has two batches claimed
    return ending


async def _end(desk: Desk, claimed: Claimed, written: _Written, done: Done) -> None:
    try:
        settled = await written
    except Exception as error:
        desk.faults.append(error)
        await done(claimed.built, None, [])
    else:
        await done(claimed.built, claimed, settled)
