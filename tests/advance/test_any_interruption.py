"""Whatever the journey and wherever a run was killed: the same advance again ends in the same rows (ledger.md §5.4)."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from carillon.store import tables as t
from carillon.store.engine import Store
from tests.shop import Interrupted, Shop

NUMBERS = itertools.count()
WAITS = (
    "90s",
    "1h",
    "1d",
    "{days: 1, at: 09:00}",
    "{until: friday, at: 10:00}",
    "{until: 2026-12-04 12:00, if_past: go_on}",
)
DAYS = (
    "2026-12-01 09:00",
    "2026-12-01 12:00",
    "2026-12-02 09:30",
    "2026-12-03 10:00",
    "2026-12-05 11:00",
    "2026-12-09 12:00",
)


def step(draw: Any, depth: int, may_exit: bool) -> dict[str, Any]:
    number = next(NUMBERS)
    kind = draw(
        st.sampled_from(["email", "email", "sms", "wait"] + ["choose", "split"] * bool(depth) + ["exit"] * may_exit)
    )
    match kind:
        case "email" | "sms":
            return {kind: f"m{number}"}
        case "wait":
            return {"wait": draw(st.sampled_from(WAITS)), "id": f"w{number}"}
        case "exit":
            return {"exit": f"x{number}"}
        case "split":
            names = ("a", "b", "c")[: draw(st.integers(2, 3))]
            arms = {name: {"then": steps(draw, depth - 1, may_exit=name != "a" and may_exit)} for name in names}
            return {"split": arms, "id": f"s{number}"}
        case _:
            branch = {"if": {"contact": {"points": {"over": 50}}}, "then": steps(draw, depth - 1, may_exit=False)}
            return {"choose": [branch, {"otherwise": steps(draw, depth - 1, may_exit=True)}], "id": f"c{number}"}


def steps(draw: Any, depth: int, *, may_exit: bool) -> list[dict[str, Any]]:
    """One to three steps; nothing stands behind an exit, and one branch of each fork comes out, so that all is reached."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        found.append(step(draw, depth, may_exit))
        if "exit" in found[-1]:
            break
    return found


@st.composite
def campaigns(draw: Any) -> str:
    journey = [{"email": f"first{next(NUMBERS)}"}, *steps(draw, 2, may_exit=False)]
    return "\n".join(
        (
            "audience: everyone",
            draw(st.sampled_from(["entry: {at: 2026-12-01 09:00}", "entry: {at: 2026-12-01 09:00, timezone: contact}",
                                  "entry: {every: [tuesday, wednesday], at: 09:00}"])),
            draw(st.sampled_from(["", "holdout: 30%"])),
            "goal: {event: order_completed, within: 3d}",
            draw(st.sampled_from(["", "exit_on: [goal]"])),
            "journey: " + _flow(journey),
        )
    )  # fmt: skip


def _flow(value: Any) -> str:
    """YAML in one line; waits stand as they are written."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {v if k == 'wait' else _flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


def people(shop: Shop) -> None:
    zones = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")
    for number in range(9):
        shop.contact(
            f"c{number}", timezone=zones[number % 3], phone=f"+4477009000{number:02}" if number % 2 else None,
            points=number * 12, consent=("offers/email", "offers/sms") if number % 4 else ("offers/sms",),
        )  # fmt: skip


def play(store: Store, folder: Path, yaml: str, kills: list[int]) -> dict[str, list[tuple[Any, ...]]]:
    """The whole campaign over its days; before each run ends well it is killed before those transactions."""
    shop = Shop(store, folder)
    people(shop)
    shop.campaign("sale", yaml)
    shop.force("sale")
    left = list(kills)
    for day in DAYS:
        if day.startswith("2026-12-02"):
            shop.order("c3", at="2026-12-02 08:00")
        while left:
            number = left.pop(0)
            if number < 0:  # this day's run ends well
                break
            try:
                shop.run("sale", day, stop_before=number)
            except Interrupted:
                with shop.store.write("ledger") as connection:
                    connection.execute(
                        t.lease.delete()
                    )  # where that was the last transaction: a dead holder holds nothing
                continue
            break
        shop.run("sale", day)
    letters = [letter.cid for letter in (*shop.mail.letters, *shop.texts.letters)]
    assert len(letters) == len(set(letters)), "somebody was written to twice"
    ledger = shop.ledger()
    store.close()  # a server has room for so many examples' connections only where each lets go of its own
    return ledger


def check(store_of: Callable[[], Store], yaml: str, kills: list[int]) -> None:
    """A random journey, killed before random transactions, against the same journey left alone."""
    folder = Path(tempfile.mkdtemp(prefix="carillon-play-"))
    try:
        undisturbed = play(store_of(), folder / "a", yaml, [])
        assert play(store_of(), folder / "b", yaml, kills) == undisturbed
    finally:
        shutil.rmtree(folder)


KILLS = st.lists(st.integers(-1, 30), min_size=4, max_size=12)
loosely = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=2, phases=[Phase.generate], **loosely)
@given(yaml=campaigns(), kills=KILLS)
def test_a_killed_run_ends_in_the_same_rows(new_store: Any, yaml: str, kills: list[int]) -> None:
    check(lambda: new_store("sqlite"), yaml, kills)


@pytest.mark.soak
@pytest.mark.postgres
@settings(max_examples=50, **loosely)
@given(yaml=campaigns(), kills=KILLS)
def test_a_killed_run_ends_in_the_same_rows_on_postgresql(new_store: Any, yaml: str, kills: list[int]) -> None:
    check(lambda: new_store("postgresql"), yaml, kills)


@pytest.mark.soak
@settings(max_examples=50, **loosely)
@given(yaml=campaigns(), kills=KILLS)
def test_many_killed_runs_end_in_the_same_rows(new_store: Any, yaml: str, kills: list[int]) -> None:
    check(lambda: new_store("sqlite"), yaml, kills)


def test_an_advance_repeated_at_the_same_instant_changes_nothing(any_shop: Shop) -> None:
    people(any_shop)
    any_shop.campaign(
        "sale",
        "audience: everyone\nentry: {at: 2026-12-01 09:00}\nholdout: 30%\njourney: [{email: a}, {wait: 1d}, {sms: b}]\n",
    )
    any_shop.force("sale")
    any_shop.run("sale", "2026-12-01 09:00")
    once = any_shop.ledger()
    assert any_shop.run("sale").stages == ()
    assert any_shop.ledger() == once
