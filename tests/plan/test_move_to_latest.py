"""`on_change: {move: latest}`: who goes on in the newest version, who finishes on theirs, and that nobody is lost or sent twice."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.store import tables as t
from tests.foresight.test_explain import ask
from tests.shop import Interrupted, Shop

ENTER = "audience: everyone\nentry: {event: cart_updated, again: always}\n"
MOVING = ENTER + "on_change: {move: latest}\n"


def into(shop: Shop, name: str, *people: str) -> None:
    """A minute later these people put something into their carts, and the campaign runs."""
    shop.at(shop.clock.now() + 60_000_000)
    for person in people:
        shop.event(person, "cart_updated", cart_id="c", total="1")
    shop.run(name)


def on_versions(shop: Shop) -> dict[str, int]:
    """Contact → the version of its newest enrolment, counted from 1."""
    e, c = t.enrolment.c, t.contact.c
    with shop.store.read() as connection:
        rows = connection.execute(
            sa.select(c.shop_id, e.version_id).join_from(t.enrolment, t.contact, c.id == e.contact_id).order_by(e.id)
        ).tuples()
        return dict(rows.all())


def test_who_waits_goes_on_in_the_newest_version(any_shop: Shop) -> None:
    """Ada waits since 12:01 for two days; the new wait is three, and behind it stands another mail."""
    any_shop.contact("ada")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 2d, id: pause}, {email: old}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.campaign("cart", MOVING + "journey: [{wait: 3d, id: pause}, {email: new}]\n")
    assert any_shop.apply() == ["new version"]
    any_shop.run("cart")
    assert on_versions(any_shop) == {"ada": 2}
    assert any_shop.due("ada") == "2026-11-05 11:01"
    any_shop.run_to("cart", "2026-11-06 00:00")
    assert any_shop.inbox == ["ada"]
    assert (any_shop.sends("email.new"), any_shop.sends("email.old")) == ({"ada": "accepted"}, {})


def test_who_stands_at_a_removed_step_finishes_on_theirs(any_shop: Shop) -> None:
    """Ada stands at a wait that is gone; the step behind it is in both, and she comes to it after the apply: she stays."""
    any_shop.contact("ada")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 1d, id: gone}, {wait: 1d, id: kept}, {email: old}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.campaign("cart", MOVING + "journey: [{wait: 1d, id: kept}, {email: new}]\n")
    any_shop.apply()
    any_shop.run_to("cart", "2026-11-06 00:00")
    assert on_versions(any_shop) == {"ada": 1}
    assert (any_shop.sends("email.old"), any_shop.sends("email.new")) == ({"ada": "accepted"}, {})


def test_a_wait_cut_short_ends_with_the_apply(any_shop: Shop) -> None:
    """Two of five days are over when the wait becomes one day: the mail leaves now, and the next wait counts from now."""
    any_shop.contact("ada")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 5d, id: a}, {wait: 1d, id: b}, {email: hi}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.at("2026-11-04 12:00")
    any_shop.campaign("cart", MOVING + "journey: [{wait: 1d, id: a}, {wait: 1d, id: b}, {email: hi}]\n")
    any_shop.apply()
    any_shop.run("cart")
    assert (any_shop.standing("b"), any_shop.due("ada")) == (["ada"], "2026-11-05 11:00")


def test_a_step_that_was_had_is_passed_without_a_second_send(any_shop: Shop) -> None:
    """The mail stood before the wait, and stands behind it now: Ada passes it, and gets the one behind it."""
    any_shop.contact("ada")
    any_shop.campaign("cart", ENTER + "journey: [{email: a}, {wait: 1d, id: w}, {email: b}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.campaign("cart", MOVING + "journey: [{wait: 1d, id: w}, {email: a}, {wait: 1d, id: x}, {email: b}]\n")
    any_shop.apply()
    any_shop.run("cart", "2026-11-03 12:01")
    assert (any_shop.standing("x"), any_shop.due("ada")) == (["ada"], "2026-11-04 11:01")
    any_shop.run("cart", "2026-11-04 12:01")
    assert [letter.text for letter in any_shop.mail.letters] == ["a", "b"]


def test_who_took_a_branch_that_is_gone_from_a_fork_ahead_finishes_on_theirs(any_shop: Shop) -> None:
    """The split stood before the wait with arms a and b; behind it, with c and d, it would know nobody's arm."""
    any_shop.contact("ada")
    split = "{split: {%s: {then: {wait: 1h, id: u}}, %s: {then: {wait: 1h, id: v}}}, id: s}"
    any_shop.campaign("cart", ENTER + f"journey: [{split % ('a', 'b')}, {{wait: 1d, id: w}}, {{email: hi}}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.run("cart", "2026-11-02 14:00")
    assert any_shop.standing("w") == ["ada"]
    any_shop.campaign("cart", MOVING + f"journey: [{{wait: 1d, id: w}}, {split % ('c', 'd')}, {{email: hi}}]\n")
    any_shop.apply()
    any_shop.run_to("cart", "2026-11-06 00:00")
    assert (on_versions(any_shop), any_shop.inbox) == ({"ada": 1}, ["ada"])


def test_without_on_change_nobody_moves(any_shop: Shop) -> None:
    any_shop.contact("ada")
    for days in (2, 3):
        any_shop.campaign("cart", ENTER + f"journey: [{{wait: {days}d, id: w}}, {{email: hi}}]\n")
        any_shop.apply()
        if days == 2:
            into(any_shop, "cart", "ada")
    any_shop.run("cart")
    assert (on_versions(any_shop), any_shop.due("ada")) == ({"ada": 1}, "2026-11-04 11:01")


NUMBERS = itertools.count()
POOL = ["{email: a}", "{email: b}", "{sms: c}", "{wait: 1d, id: w}", "{wait: 2d, id: x}", "{wait: 3h, id: y}"]
SPLIT = "{split: {l: {then: {email: d}}, r: {then: {wait: 6h, id: z}}}, id: s}"


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, bool]]:
    """A journey and what becomes of it in three edits: steps added, taken out, put into another order, renamed."""
    versions = []
    for _ in range(4):
        steps = draw(st.lists(st.sampled_from([*POOL, SPLIT]), min_size=1, max_size=6, unique=True))
        if draw(st.booleans()):
            steps = [s.replace("{email: a}", "{email: a, id: first, was: email.a}") for s in steps]
        versions.append((f"journey: [{', '.join(steps)}]\n", draw(st.booleans())))
    return versions


SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(SETTINGS, max_examples=2)
@given(versions=edits(), kills=st.lists(st.integers(0, 6), max_size=3))
def test_no_edit_sends_twice_or_forgets_anybody(
    new_store: Any, versions: list[tuple[str, bool]], kills: list[int]
) -> None:
    check_edits(new_store, versions, kills)


@pytest.mark.soak
@settings(SETTINGS, max_examples=50)
@given(versions=edits(), kills=st.lists(st.integers(0, 6), max_size=3))
def test_of_many_edits_none_sends_twice_or_forgets_anybody(
    new_store: Any, versions: list[tuple[str, bool]], kills: list[int]
) -> None:
    check_edits(new_store, versions, kills)


def check_edits(new_store: Any, versions: list[tuple[str, bool]], kills: list[int]) -> None:
    """Whatever is edited while people are under way, and wherever a run is killed: one send a step and enrolment, and
    everybody comes to an end. The invariants are asked after every stage."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(new_store("sqlite"), Path(folder) / str(next(NUMBERS)))
        for name in ("ada", "bob", "cem", "dan"):
            shop.contact(name, phone=f"+4477009000{ord(name[0]) - 90:02}")
        for (journey, moves), newcomer in zip(versions, ("ada", "bob", "cem", "dan"), strict=True):
            shop.campaign("cart", (MOVING if moves else ENTER) + journey)
            shop.apply()
            if kills:
                try:
                    shop.run("cart", stop_before=kills[0])
                except Interrupted:
                    assert shop.violations() == []
                kills = kills[1:]
            into(shop, "cart", newcomer)
            shop.run("cart", shop.clock.now() + 20 * 3_600_000_000)
        shop.run_to("cart", "2026-12-24 00:00")
        assert set(shop.enrolments.values()) == {"finished"}
        letters = [(letter.cid, letter.text) for post in (shop.mail, shop.texts) for letter in post.letters]
        assert len(letters) == len(set(letters)) == shop.count(t.send)
        for name in ("ada", "bob", "cem", "dan"):
            waits = [h for way in ask(shop, name, "cart").ways for h in way.happenings if h.since is not None]
            assert all(h.at is not None and h.since is not None and h.since <= h.at for h in waits)


def test_of_those_who_moved_the_whole_way_is_asked_too(any_shop: Shop) -> None:
    """Ada was moved at her wait: from there her way is known, and a step that she never came to is found out."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 2d, id: pause}, {email: old}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada", "bob")
    journey = "journey: [{wait: 3d, id: pause}, {email: new}, {wait: 1d, id: last}, {email: end}]\n"
    any_shop.campaign("cart", MOVING + journey)
    any_shop.apply()
    any_shop.run("cart")
    assert (on_versions(any_shop), any_shop.violations()) == ({"ada": 2, "bob": 2}, [])
    with any_shop.store.write("ledger") as connection:
        e, n = t.enrolment.c, t.node.c
        last = sa.select(n.id).where(n.step_id == "last").scalar_subquery()
        connection.execute(t.enrolment.update().where(e.contact_id == any_shop.id_of("ada")).values(node_id=last))
        done = {"node_id": None, "due_at": None, "state": "done", "exit_code": "finished"}
        connection.execute(t.enrolment.update().where(e.contact_id == any_shop.id_of("bob")).values(**done))
    assert any_shop.violations() == [
        "each step's people have arrived at it (cart, version 2, last): enrolment 1 stands there without having come",
        "who finished has gone the whole way (cart, version 2): enrolment 2 ended without having come to the end",
    ]
