"""An upgrade pauses what runs, waits for who is at work, backs up, and lets go on exactly what it paused."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.advance.lease import lease
from carillon.kernel.clock import SystemClock
from carillon.operating.upgrade import StillAtWork, pause_all, upgrade
from carillon.plan.operate import set_operator_state
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.migrate import HEADS, StoreTooNewError
from tests.shop import Shop

NEWS = "title: News\naudience: {reachable: email}\nentry: {every: day, at: 10:00}\njourney: [{email: hello}]\n"


def states(store: Store) -> dict[str, str]:
    with store.read() as connection:
        rows = connection.execute(sa.select(t.campaign.c.name, t.campaign.c.operator_state))
        return {name: state for name, state in rows}


def run(store: Store, back_up: object = lambda: None) -> list[str]:
    return upgrade(
        store, back_up, who="ann", clock=SystemClock(), patience_s=0, say=lambda line: None  # type: ignore[arg-type]
    ).resumed  # fmt: skip


@pytest.fixture
def running(any_shop: Shop) -> Shop:
    for name in ("news", "other", "third"):
        any_shop.campaign(name, NEWS)
    any_shop.apply()
    set_operator_state(any_shop.store, ["third"], "paused", who="ann", at=any_shop.clock.now())
    return any_shop


def test_everything_is_paused_while_it_is_backed_up_and_goes_on_as_before(running: Shop):
    """Who was paused before stays so."""
    during: list[dict[str, str]] = []
    assert run(running.store, lambda: during.append(states(running.store))) == ["news", "other"]
    assert during == [{"news": "paused", "other": "paused", "third": "paused"}]
    assert states(running.store) == {"news": "running", "other": "running", "third": "paused"}


def test_whoever_is_at_work_is_waited_for_and_nothing_is_changed_where_they_stay(running: Shop):
    with lease(running.store, "advance:news", SystemClock()), pytest.raises(StillAtWork, match="advance:news"):
        run(running.store, lambda: pytest.fail("no backup while somebody writes"))
    assert states(running.store)["news"] == "running"


def test_a_backup_that_fails_lets_everything_go_on(running: Shop):
    def full() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        run(running.store, full)
    assert states(running.store) == {"news": "running", "other": "running", "third": "paused"}


def test_an_upgrade_that_was_killed_is_taken_up_by_the_next(running: Shop):
    """Killed after it had paused: the next one knows whom to resume."""
    pause_all(running.store, "ann", 0)
    assert run(running.store) == ["news", "other"]
    assert states(running.store) == {"news": "running", "other": "running", "third": "paused"}


def test_a_store_of_a_newer_version_is_refused_with_a_sentence_and_left_alone(running: Shop):
    with running.store.write("ledger") as connection:
        connection.exec_driver_sql("UPDATE ledger.alembic_version SET version_num = 'ledger_9999'")
    with pytest.raises(StoreTooNewError, match=f"ledger of this store stands at ledger_9999.*{HEADS['ledger']}"):
        run(running.store)
    assert states(running.store)["news"] == "running"
