"""Several workers on one campaign: none takes so much into hand that the others stand idle."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.delivery.work import work
from carillon.kernel.worker import worker_id
from carillon.store import tables as t
from tests.conftest import StoreMaker
from tests.shop import KEYS, Post, Shop

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}]\n"
SLOW_S = 0.15


class SlowPost(Post):
    """A provider that takes a while for each request."""

    async def hand_over(self, parcel, rows):  # type: ignore[no-untyped-def]
        await asyncio.sleep(SLOW_S)
        return await super().hand_over(parcel, rows)


def ready(shop: Shop, people: int, size: int) -> None:
    """All decided, in batches of that size, and none begun."""
    shop.people(people)
    shop.mail.max_people = size
    shop.campaign("sale", SALE)
    shop.apply()
    with pytest.raises(InterruptedError):
        shop.run("sale", "2026-12-01 09:00", connectors=_away)


def _away():
    raise InterruptedError("no network")


def share(shop: Shop, workers: int) -> list[int]:
    """Let so many workers hand over all at once; how many people each did."""
    rules, posts = (
        shop.draft("sale").rules,
        [SlowPost("sandbox.email", shop.mail.channel, True) for _ in range(workers)],
    )

    async def all_of_them() -> None:
        await asyncio.gather(*(
            work(
                shop.store, connectors={post.name: post}, rules=rules, keyring=KEYS, campaign_clock=shop.clock,
                machine_clock=shop.engine.machine_clock, worker=f"{worker_id()}{'abcd'[number]}",
            )
            for number, post in enumerate(posts)
        ))  # fmt: skip

    asyncio.run(all_of_them())
    got = Counter(letter.address for post in posts for letter in post.letters)
    with shop.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(t.batch.c.state != "accepted")) == 0
    assert set(got.values()) == {1}
    return [len(post.letters) for post in posts]


@pytest.mark.postgres
def test_three_workers_share_what_is_ready(new_store: StoreMaker, tmp_path: Path) -> None:
    """90 batches of 2, two places each: all three are at work to the end, and nobody gets two."""
    shop = Shop(new_store("postgresql"), tmp_path)
    ready(shop, 180, 2)
    people = share(shop, 3)
    assert sum(people) == 180
    assert min(people) >= 32, people  # 16 where the first took all that it could
