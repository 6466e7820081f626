"""A campaign of a thousand people from outside: `carillon run` as typed, and the same as a flow of a running Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from carillon.cli.prefect_side import environment, free_port, start_server
from carillon.settings import read_settings
from carillon.store import tables as t
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, Watch, watch
from tests.benchmarks.one_by_one import shop_of
from tests.benchmarks.sink import sink
from tests.shop import Shop

PEOPLE = 1_000
TIMES = 3
"""The middle of so many is told: a process that starts once may meet a cold disk."""
CAMPAIGN = """\
topic: offers
audience: {reachable: email}
entry: {at: NOW}
journey: [{email: letter}]
"""
LETTER = """\
<h1>{{ contact.first_name }} in {{ contact.city }}, four for you</h1>
{% for pick in contact.picks %}<p><a href="https://acme.example/{{ pick.page }}">{{ pick.name }}</a> {{ pick.price }}</p>
{% endfor %}<p>{{ brand.address }} <a href="{{ links.unsubscribe }}">Leave</a></p>
"""
FLOW = "from flows.compile_campaign import campaign_flow; print(campaign_flow('news')())"


def campaign_run(ground: Ground) -> Iterable[Figure]:
    with sink() as provider:
        spent = [
            _one(ground, provider.url, [sys.executable, "-m", "carillon.cli.main", "run", "news"]) for _ in range(TIMES)
        ]
    yield _figure("1,000 people by carillon run", spent, 3.0, 1.5)


def campaign_flow(ground: Ground) -> Iterable[Figure]:
    home = ground.path("home")
    home.mkdir()
    settings = read_settings({}, root=home)
    server, api_url = start_server(settings, free_port())
    try:
        prefect = environment(settings, api_url)
        with sink() as provider:
            spent = [_one(ground, provider.url, [sys.executable, "-c", FLOW], prefect) for _ in range(TIMES)]
    finally:
        server.stop()
    yield _figure("1,000 people as a flow of a running Prefect server", spent, 6.0, 4.0)


def _figure(name: str, spent: list[Watch], must: float, aim: float) -> Figure:
    middle = sorted(spent, key=lambda one: one.wall)[len(spent) // 2]
    return Figure(name, middle.wall, "s", "less", must, aim, cpu_us=middle.spread(PEOPLE))


def _one(ground: Ground, sink_url: str, command: list[str], environ: Mapping[str, str] = os.environ) -> Watch:
    """A fresh shop, and one process from its start to its end."""
    due = datetime.now(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M")
    shop = shop_of(
        ground,
        PEOPLE,
        CAMPAIGN.replace("NOW", due),
        {"letter.yaml": "subject: Four for you\n", "letter.html": LETTER},
        "sendgrid",
    )
    shop.store.close()
    env = {**environ, **_settings(shop, sink_url), "PYTHONPYCACHEPREFIX": str(ground.folder / "bytecode")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed Carillon is compiled: the first of the runs does it here
    with watch() as spent:
        subprocess.run(command, env=env, cwd=shop.folder, check=True, stdout=sys.stderr)
    _check(shop)
    return spent


def _settings(shop: Shop, sink_url: str) -> dict[str, str]:
    return {
        "CARILLON_DATABASE_URL": shop.store.url, "CARILLON_WORKSPACE": "campaigns", "CARILLON_SECRET_KEY": "k" * 32,
        "SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": sink_url,
        "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_BASE_URL": sink_url,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }  # fmt: skip


def _check(shop: Shop) -> None:
    with shop.store.read() as connection:
        states = connection.execute(
            sa.select(t.batch.c.state, sa.func.sum(t.batch.c.n)).group_by(t.batch.c.state)
        ).all()
    assert [tuple(row) for row in states] == [("accepted", PEOPLE)], states
