"""Telling what people did: planned reactions become signed posts, in the order of their instants."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from carillon.kernel.clock import DAY, Micros
from carillon.sandbox import posts
from carillon.sandbox.plans import plan_next
from carillon.sandbox.posts import Post
from carillon.sandbox.world import World

log = logging.getLogger("carillon.sandbox")

SLICE = 1_000
"""Most reactions told at once: what falls into one slice goes out side by side, slices one after the other."""
AT_ONCE = 16
TRIES = 3
LOOK_EVERY_S, BACK_OFF_S = 1.0, 3.0

STATUS = {"soft_bounce": "bounced", "bounce": "bounced", "machine_open": "", "machine_click": "", "order": ""}
"""The word in the inbox where it is not the reaction's own; empty: the message's status stays."""


_Call = Callable[[Sequence[Post]], Awaitable[None]]


class Undelivered(Exception):
    """Carillon's web does not take what the sandbox has to tell."""


async def advance(world: World, to: Micros) -> dict[str, int]:
    """Tell everything until a virtual instant and stand there; raises ValueError for a clock that cannot."""
    if world.virtual is None:
        raise ValueError("this sandbox lives in real time")
    if to < world.virtual.now():
        raise ValueError("a virtual clock does not go back")
    told = await tell_until(world, to) if world.webhooks else {}
    world.virtual.move_to(to)
    return told


async def live(world: World) -> None:
    """Let people react in real time, until cancelled."""
    while True:
        try:
            await tell_until(world, world.clock.now())
            await asyncio.sleep(LOOK_EVERY_S)
        except Undelivered as fault:
            log.warning("%s; trying again in %.0f s", fault, BACK_OFF_S)
            # As SendGrid does: what could not be told within a day is dropped.
            world.store.write("UPDATE reaction SET told = 1 WHERE told = 0 AND at < ?", (world.clock.now() - DAY,))
            await asyncio.sleep(BACK_OFF_S)


async def tell_until(world: World, to: Micros) -> dict[str, int]:
    """Plan what is not planned yet and tell everything due; returns how much, by kind of post."""
    while plan_next(world.store, world.behaviour):  # noqa: ASYNC110 - waits for nothing, lets requests in
        await asyncio.sleep(0)
    told = {"events": 0, "callbacks": 0, "orders": 0, "fetches": 0}
    async with _caller() as call:
        while rows := _due(world, to):
            await _tell(world, rows, call, told)
    return told


def _due(world: World, to: Micros) -> list[sqlite3.Row]:
    # cid before id: two runs may store their requests in another order, and must tell in the same.
    return world.store.rows(
        "SELECT x.id, x.at, x.kind, x.detail, m.id AS message_id, m.n, m.address, m.cid, r.ref, r.channel,"
        " r.categories, CASE r.channel WHEN 'sms' THEN r.body END AS body"
        " FROM reaction x JOIN message m ON m.id = x.message_id JOIN request r ON r.id = m.request_id"
        " WHERE x.told = 0 AND x.at <= ? ORDER BY x.at, m.cid, x.kind, x.id LIMIT ?",
        (to, SLICE),
    )


async def _tell(world: World, rows: list[sqlite3.Row], call: _Call, told: dict[str, int]) -> None:
    events = [row for row in rows if _is_event(row, world)]
    callbacks = [row for row in rows if _is_callback(row)]
    orders = [row for row in rows if row["kind"] == "order"]
    fetches = [post for row in rows for post in _fetches(row, world)]
    if events:
        await call([posts.events_post(events, world.keys, world.webhooks)])
    await call([posts.callback_post(row, world.keys, world.webhooks) for row in callbacks])
    await call(fetches)
    await call([posts.order_post(row, world.keys, world.behaviour, world.webhooks) for row in orders])
    counts = (len(events), len(callbacks), len(orders), len(fetches))
    for what, count in zip(told, counts, strict=True):
        told[what] += count
    _mark(world, rows)


def _is_event(row: sqlite3.Row, world: World) -> bool:
    ways = {"open": world.behaviour.opens_by, "machine_open": world.behaviour.opens_by}
    ways |= {"click": world.behaviour.clicks_by, "machine_click": world.behaviour.clicks_by}
    if row["channel"] != "email" or row["kind"] == "order" or ways.get(row["kind"]) == "link":
        return False
    return not (row["kind"] == "unsubscribe" and row["detail"])


def _is_callback(row: sqlite3.Row) -> bool:
    if row["channel"] != "sms" or row["kind"] not in ("sent", "delivered", "undelivered", "stop"):
        return False
    # No status callback was asked for, so none is made; a STOP comes by the number's own webhook.
    return row["kind"] == "stop" or b"StatusCallback=" in row["body"]


def _fetches(row: sqlite3.Row, world: World) -> list[Post]:
    kind, behaviour = row["kind"], world.behaviour
    if not row["detail"].startswith("http"):
        return []
    if kind == "unsubscribe":
        return [posts.unsubscribe_post(row, world.webhooks)]
    by_link = (
        (kind in ("open", "machine_open") and behaviour.opens_by != "webhook")
        or (kind in ("click", "machine_click") and behaviour.clicks_by != "webhook")
        or kind == "sms_click"
    )
    return [posts.fetch_post(row, world.webhooks)] if by_link else []


def _mark(world: World, rows: Sequence[sqlite3.Row]) -> None:
    news = {row["message_id"]: word for row in rows if (word := STATUS.get(row["kind"], row["kind"]))}
    with world.store.writing():
        world.store.write_many("UPDATE reaction SET told = 1 WHERE id = ?", [(row["id"],) for row in rows])
        world.store.write_many("UPDATE message SET status = ? WHERE id = ?", [(s, m) for m, s in news.items()])


@asynccontextmanager
async def _caller() -> AsyncIterator[_Call]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:

        async def one(post: Post) -> None:
            async with gate:
                await _post(http, post)

        async def call(what: Sequence[Post]) -> None:
            await asyncio.gather(*[one(post) for post in what])

        yield call


async def _post(http: aiohttp.ClientSession, post: Post) -> None:
    url, failed = URL(post.url, encoded=True), ""
    for attempt in range(TRIES):
        await asyncio.sleep(attempt * 0.2)
        try:
            async with http.request(
                post.method, url, headers=post.headers, data=post.body or None, allow_redirects=False
            ) as answer:
                if answer.status < 400 or post.may_miss:
                    return
                failed = f"{answer.status} {(await answer.text())[:200]}"
        except (aiohttp.ClientError, TimeoutError) as fault:
            failed = f"{type(fault).__name__}: {fault}"
    raise Undelivered(f"{post.method} {post.url.partition('?')[0]} answered {failed}")
