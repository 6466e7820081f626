"""What stops a run: a brake, a person, another run; and what does not."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from carillon.advance.approve import approve
from carillon.advance.lease import LEASE, AlreadyRunning, lease, lease_holder
from carillon.delivery.release import withdraw
from carillon.journey.exits import end_all
from carillon.kernel.clock import SystemClock
from carillon.kernel.worker import worker_id
from carillon.plan.operate import set_operator_state, set_paused_for_all
from carillon.store import tables as t
from tests.shop import Shop, counted

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}, {wait: 1d}, {email: more}]\n"


def test_more_than_twice_the_planned_people_are_a_question(any_shop: Shop) -> None:
    """Two were planned, five came: nobody is written to until a person says yes; then all are, though it is late."""
    any_shop.people(2)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    any_shop.people(3, prefix="q")
    told = any_shop.run("sale", "2026-12-01 09:00")
    assert told.hold_reason == "5 people entered, 2 were planned"
    assert any_shop.inbox == []
    assert any_shop.run("sale", "2026-12-01 12:00").stages == ()
    approve(any_shop.store, "sale", who="ann", at=any_shop.clock.now())
    told = any_shop.run("sale", "2026-12-01 15:00")
    assert (told.hold_reason, len(any_shop.inbox)) == (None, 5)


def test_exactly_twice_is_no_question(shop: Shop) -> None:
    shop.people(2)
    shop.campaign("sale", SALE)
    shop.apply()
    shop.people(2, prefix="q")
    shop.run("sale", "2026-12-01 09:00")
    assert len(shop.inbox) == 4


@pytest.mark.parametrize("entry", ["at: 2026-12-01 09:00", "every: tuesday, at: 09:00"])
def test_planning_anew_while_a_wave_waits_counts_its_people(any_shop: Shop, entry: str) -> None:
    """Three wait for the end of quiet hours when it is applied once more: nobody of them, nor of the next week's, is a surprise."""
    any_shop.people(3)
    any_shop.at("2026-11-30 09:00")
    any_shop.workspace("limits: {quiet_hours: {email: 06:00-10:30}}\n")
    any_shop.campaign(
        "sale", f"expect: {{audience: 3-4}}\naudience: everyone\nentry: {{{entry}}}\njourney: [{{email: sale}}]\n"
    )
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    assert len(any_shop.standing("email.sale")) == 3
    any_shop.at("2026-12-01 09:15")
    any_shop.apply()
    times = ["12-01 12:00"] if entry.startswith("at") else ["12-01 12:00", "12-08 09:00", "12-08 12:00"]
    assert [any_shop.run("sale", f"2026-{at}").hold_reason for at in times] == [None] * len(times)
    assert len(any_shop.inbox) == (3 if entry.startswith("at") else 6)


def test_another_meaning_wants_another_yes(shop: Shop) -> None:
    shop.people(1)
    shop.campaign("sale", SALE)
    shop.apply()
    approve(shop.store, "sale", who="ann", at=shop.clock.now())
    shop.campaign("sale", SALE.replace("1d", "2d"))
    shop.apply()
    shop.people(5, prefix="q")
    assert shop.run("sale", "2026-12-01 09:00").hold_reason == "6 people entered, 1 were planned"


def test_a_pause_outlives_an_apply_and_a_resume_goes_on(any_shop: Shop) -> None:
    any_shop.people(2)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    set_operator_state(any_shop.store, ["sale"], "paused", who="ann", why="wrong price", at=any_shop.clock.now())
    any_shop.campaign("sale", SALE.replace("1d", "3d"))
    any_shop.apply()
    assert any_shop.run("sale", "2026-12-02 09:00").stages == ()
    set_operator_state(any_shop.store, ["sale"], "running", who="ann", at=any_shop.clock.now())
    any_shop.run("sale", "2026-12-02 12:00")
    assert counted(any_shop.sends("email.more")) == {"accepted": 2}
    with any_shop.store.read() as connection:
        rows = connection.execute(t.audit.select().where(t.audit.c.what.in_(("pause", "resume")))).all()
    assert [(r.what, r.who, r.details) for r in rows] == [
        ("pause", "ann", "wrong price"),
        ("resume", "ann", "was paused"),
    ]


def test_pause_all_covers_what_is_applied_later(shop: Shop) -> None:
    shop.people(1)
    set_paused_for_all(shop.store, True, who="ann", at=shop.clock.now())
    shop.campaign("sale", SALE)
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    assert shop.inbox == []


def test_stop_withdraws_what_is_ready_and_lets_everybody_go(any_shop: Shop) -> None:
    """Decided and ready when the person stops it: nobody gets it, nobody is forgotten, and a resume brings nobody back."""
    any_shop.people(3)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    any_shop.mail.answer = lambda letter: pytest.fail("handed over")
    with pytest.raises(InterruptedError):
        any_shop.run("sale", "2026-12-01 09:00", connectors=_unreachable)
    assert counted(any_shop.sends("email.sale")) == {"ready": 3}
    set_operator_state(any_shop.store, ["sale"], "stopped", who="ann", at=any_shop.clock.now())
    with any_shop.store.write("ledger") as connection:
        assert withdraw(connection, 1, at=any_shop.clock.now()) == 3
        assert end_all(connection, 1, any_shop.clock.now()) == 3
    assert counted(any_shop.sends("email.sale")) == {"withdrawn": 3}
    set_operator_state(any_shop.store, ["sale"], "running", who="ann", at=any_shop.clock.now())
    any_shop.run("sale", "2026-12-02 09:00")
    assert counted(any_shop.enrolments) == {"stopped": 3}
    assert any_shop.violations() == []


def _unreachable():
    raise InterruptedError("no network")


def test_a_second_run_is_refused_while_the_first_holds_the_lease(any_shop: Shop) -> None:
    any_shop.people(1)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    with lease(any_shop.store, "advance:sale", SystemClock()):
        assert lease_holder(any_shop.store, "advance:sale", SystemClock()) is not None
        with pytest.raises(AlreadyRunning):
            any_shop.run("sale")
    any_shop.run("sale")
    assert any_shop.count(t.lease) == 0


def test_the_lease_of_a_killed_process_is_taken_at_once_and_that_of_a_living_one_is_not(shop: Shop) -> None:
    shop.people(1)
    shop.campaign("sale", SALE)
    shop.apply()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host = worker_id().split("/")[0]
    holder = f"{host}/{other.pid}/{int(psutil.Process(other.pid).create_time())}"
    until = SystemClock().now() + LEASE
    with shop.store.write("ledger") as connection:
        connection.execute(t.lease.insert().values(name="advance:sale", holder=holder, until=until))
    try:
        with pytest.raises(AlreadyRunning):
            shop.run("sale", "2026-12-01 09:00")
    finally:
        other.kill()
        other.wait()
    shop.run("sale")
    assert len(shop.inbox) == 1


def test_who_lost_the_lease_notices_before_the_next_round(shop: Shop) -> None:
    shop.contact("ada")
    with lease(shop.store, "advance:sale", SystemClock()) as held:
        held.renew()
        with shop.store.write("ledger") as connection:
            connection.execute(t.lease.update().values(holder="another"))
        with pytest.raises(AlreadyRunning):
            held.renew()
    assert shop.count(t.lease) == 1
