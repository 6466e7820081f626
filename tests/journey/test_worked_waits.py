"""The table of waits in docs/language.md: each wait as a marketer writes it, asked of the SQL that a run asks."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from carillon.journey.stand import Arriving, end_of_wait
from carillon.kernel.clock import from_micros, to_micros
from carillon.plan.model import WaitNode
from carillon.store.localtime import ensure_zone_periods
from tests.shop import Shop

DOC = Path(__file__).parents[2] / "docs" / "language.md"
ROW = re.compile(r"\| `(?P<wait>[^`]+)` \| (?P<zone>\S+) \| (?P<arrives>\S+ \S+) \| (?P<goes_on>\S+ \S+) \|")
ROWS = [found.groupdict() for found in ROW.finditer(DOC.read_text(encoding="utf-8"))]


def shown(at: int, zone: str, as_written: str) -> str:
    """The instant as the table writes it: seconds and the offset only where it says them."""
    local = from_micros(at).astimezone(ZoneInfo(zone))
    text = f"{local:%Y-%m-%d %H:%M:%S}" if as_written.count(":") == 2 else f"{local:%Y-%m-%d %H:%M}"
    offset = local.utcoffset() or timedelta()
    return f"{text}+{offset // timedelta(hours=1)}" if "+" in as_written else text


def test_the_table_is_read_whole() -> None:
    """A row that this test did not understand would be a row that nobody checks."""
    table = DOC.read_text(encoding="utf-8").partition("| wait | zone |")[2].partition("\n\n")[0]
    assert len(ROWS) == table.count("\n| `") == 23


def test_every_row_is_what_a_run_reckons(any_shop: Shop) -> None:
    """All waits of the table, compiled from YAML and asked in SQL, one after the other."""
    for n, row in enumerate(ROWS):
        any_shop.campaign(
            f"w{n}", f"audience: everyone\nentry: {{api: true}}\njourney: [{{wait: {row['wait']}}}, {{email: a}}]\n"
        )
    with any_shop.store.write("core") as connection:
        ensure_zone_periods(connection, {row["zone"] for row in ROWS})
    found = [asked(any_shop, f"w{n}", row) for n, row in enumerate(ROWS)]
    assert found == [row["goes_on"] for row in ROWS]


def asked(shop: Shop, name: str, row: dict[str, str]) -> str:
    (node,) = [node for node in shop.draft(name).plan.nodes if isinstance(node, WaitNode)]
    arrives = to_micros(datetime.fromisoformat(row["arrives"]).replace(tzinfo=ZoneInfo(row["zone"])))
    nought = sa.literal(0, sa.BigInteger())
    arriving = Arriving(sa.literal(arrives, sa.BigInteger()), sa.literal(row["zone"]), nought, nought, nought)
    with shop.store.read() as connection:
        at = connection.execute(sa.select(end_of_wait(node.rule, arriving))).scalar_one()
    return shown(at, row["zone"], row["goes_on"])
