"""A person's yes: nothing leaves and nobody is skipped before it, and waiting for it is not lateness."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from carillon.advance.approve import NotAsked, approve
from carillon.advance.overdue import PATIENCE, overdue
from carillon.cli.main import main
from carillon.plan.operate import set_operator_state
from carillon.store import tables as t
from tests.shop import Shop, counted

HEAD = "head@acme.example"
ASKED = f"approval: {{by: [{HEAD}]}}\n"
SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}, {wait: 1d}, {email: more}]\n"
WEEKLY = "audience: everyone\nentry: {every: tuesday, at: 09:00}\njourney: [{email: news}, {wait: 2d}, {email: more}]\n"


def say_yes(shop: Shop, name: str = "sale", who: str = HEAD) -> tuple[str, ...]:
    return approve(shop.store, name, who=who, at=shop.clock.now()).waves


def test_nothing_leaves_and_nobody_is_skipped_before_the_yes(any_shop: Shop) -> None:
    """Also who would get nothing stands and waits; the yes that comes hours late decides everybody."""
    any_shop.people(2)
    any_shop.contact("without", consent=())
    any_shop.campaign("sale", ASKED + SALE)
    any_shop.apply()
    told = any_shop.run("sale", "2026-12-01 09:00")
    assert [(one.by, one.people) for one in told.awaits] == [((HEAD,), 3)]
    assert (any_shop.inbox, any_shop.count(t.send)) == ([], 0)
    assert any_shop.run("sale", "2026-12-01 20:00").stages == ()
    assert any_shop.standing("email.sale") == ["p0001", "p0002", "without"]
    assert say_yes(any_shop) == ("",)
    told = any_shop.run("sale", "2026-12-01 20:01")
    assert told.awaits == []
    assert any_shop.inbox == ["p0001", "p0002"]
    assert any_shop.skips == {"without": "no_consent"}
    any_shop.run_to("sale", "2026-12-02 20:01")
    assert counted(any_shop.sends("email.more")) == {"accepted": 2, "skipped:no_consent": 1}


def test_a_yes_ahead_of_time_holds_for_all_of_the_meaning(any_shop: Shop) -> None:
    any_shop.people(2)
    any_shop.campaign("sale", ASKED + SALE)
    any_shop.apply()
    say_yes(any_shop)
    any_shop.run("sale", "2026-12-01 09:00")
    assert len(any_shop.inbox) == 2


def test_waiting_for_a_yes_is_not_lateness(any_shop: Shop) -> None:
    """Valid for two hours, approved after five: it is sent, and valid for two hours from the yes; `if_late` counts not."""
    sale = SALE.replace("{email: sale}", "{email: sale, valid_for: 2h}")
    any_shop.people(2)
    any_shop.campaign("sale", ASKED + sale)
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.at("2026-12-01 14:00")
    say_yes(any_shop)
    any_shop.run("sale", "2026-12-01 15:59")
    assert len(any_shop.inbox) == 2
    any_shop.people(1, prefix="q")
    any_shop.campaign("late", ASKED + sale)
    any_shop.apply("late")
    any_shop.run("late", "2026-12-01 16:00")


def test_a_yes_that_was_given_does_not_excuse_what_is_late_afterwards(any_shop: Shop) -> None:
    any_shop.people(2)
    any_shop.campaign("sale", ASKED + SALE.replace("{email: sale}", "{email: sale, valid_for: 2h}"))
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.at("2026-12-01 14:00")
    say_yes(any_shop)
    any_shop.run("sale", "2026-12-01 16:01")
    assert counted(any_shop.sends("email.sale")) == {"skipped:expired": 2}


def test_the_end_of_a_campaign_does_not_wait(shop: Shop) -> None:
    """A yes after the sale is over sends nobody into it: `ends` is an instant that the marketer wrote."""
    shop.people(1)
    shop.campaign("sale", ASKED + "ends: 2026-12-01 12:00\n" + SALE)
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    shop.at("2026-12-01 13:00")
    say_yes(shop)
    shop.run("sale")
    assert counted(shop.sends("email.sale")) == {"skipped:expired": 1}


def test_another_meaning_wants_another_yes_and_those_under_way_keep_theirs(any_shop: Shop) -> None:
    """Who entered on the approved version goes on; who enters on the new one waits for its yes."""
    event = "entry: {event: cart_updated, once_per: cart_id}\njourney: [{email: cart}, {wait: 1d}, {email: more}]\n"
    any_shop.people(2)
    any_shop.campaign("cart", ASKED + event)
    any_shop.apply()
    say_yes(any_shop, "cart")
    any_shop.at("2026-12-01 09:00")
    any_shop.event("p0001", "cart_updated", cart_id="a", total="30")
    any_shop.run("cart")
    any_shop.campaign("cart", ASKED + event.replace("1d", "3d"))
    any_shop.apply()
    any_shop.at("2026-12-01 10:00")
    any_shop.event("p0002", "cart_updated", cart_id="b", total="30")
    assert [one.people for one in any_shop.run("cart").awaits] == [1]
    any_shop.run("cart", "2026-12-02 09:00")
    assert any_shop.inbox == ["p0001", "p0001"]
    say_yes(any_shop, "cart")
    any_shop.run("cart", "2026-12-02 09:01")
    assert any_shop.inbox == ["p0001", "p0001", "p0002"]


def test_each_wave_of_an_entry_that_repeats_has_its_own_yes(any_shop: Shop) -> None:
    """The second Tuesday waits while those of the first go on; a yes given ahead is for the next one."""
    any_shop.people(2)
    any_shop.campaign("weekly", ASKED + WEEKLY)
    any_shop.at("2026-12-01 08:00")
    any_shop.apply()
    assert say_yes(any_shop, "weekly") == ("every:2026-12-01",)
    any_shop.run("weekly", "2026-12-01 09:00")
    assert len(any_shop.inbox) == 2
    any_shop.run("weekly", "2026-12-03 09:00")
    assert len(any_shop.inbox) == 4
    told = any_shop.run("weekly", "2026-12-08 09:00")
    assert [(one.wave, one.people) for one in told.awaits if one.people] == [("every:2026-12-08", 2)]
    assert len(any_shop.inbox) == 4
    assert say_yes(any_shop, "weekly") == ("every:2026-12-08",)
    any_shop.run("weekly", "2026-12-08 11:00")
    assert len(any_shop.inbox) == 6


def test_only_who_is_asked_says_yes(shop: Shop) -> None:
    shop.people(1)
    shop.campaign("sale", ASKED + SALE)
    shop.apply()
    with pytest.raises(NotAsked, match=f"sale wants the yes of {HEAD}: ann is not asked"):
        say_yes(shop, who="ann")
    shop.run("sale", "2026-12-01 09:00")
    assert shop.inbox == []
    say_yes(shop, who="Head@Acme.example")
    shop.run("sale", "2026-12-01 09:01")
    assert shop.inbox == ["p0001"]


def test_a_yes_that_is_asked_for_later_takes_back_what_is_ready(any_shop: Shop) -> None:
    """Decided, then the marketer writes `approval`: nothing of it leaves, and after the yes everybody gets it once."""
    any_shop.people(3)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    with pytest.raises(InterruptedError):
        any_shop.run("sale", "2026-12-01 09:00", connectors=_unreachable)
    assert counted(any_shop.sends("email.sale")) == {"ready": 3}
    any_shop.campaign("sale", ASKED + SALE)
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:10")
    assert (any_shop.inbox, any_shop.count(t.send)) == ([], 0)
    say_yes(any_shop)
    any_shop.run("sale", "2026-12-01 09:20")
    assert sorted(any_shop.inbox) == ["p0001", "p0002", "p0003"]


def _unreachable():
    raise InterruptedError("no network")


def test_who_leaves_before_the_yes_gets_nothing(any_shop: Shop) -> None:
    """Exits go on: the order of a person who waits for the yes ends the way."""
    any_shop.people(2)
    any_shop.campaign("sale", ASKED + "goal: {event: order_completed, within: 5d}\nexit_on: [goal]\n" + SALE)
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.order("p0001", at="2026-12-01 09:30")
    say_yes(any_shop)
    any_shop.run("sale", "2026-12-01 10:00")
    assert any_shop.inbox == ["p0002"]
    assert any_shop.enrolments["p0001"] == "goal"


def test_a_campaign_that_waits_for_a_yes_is_not_overdue_and_is_after_it(any_shop: Shop) -> None:
    """Nobody advances it in vain each minute; the engine takes it up by itself where the run after the yes does not."""
    any_shop.people(1)
    any_shop.campaign("sale", ASKED + SALE)
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.at("2026-12-01 10:00")
    assert overdue(any_shop.store, any_shop.clock.now(), any_shop.clock.now()) == []
    say_yes(any_shop)
    assert overdue(any_shop.store, any_shop.clock.now() - PATIENCE, any_shop.clock.now()) == []
    any_shop.at("2026-12-01 10:02")
    assert overdue(any_shop.store, any_shop.clock.now() - PATIENCE, any_shop.clock.now()) == ["sale"]


def test_the_leader_is_not_chosen_before_the_sample_has_left(any_shop: Shop) -> None:
    """Approved six hours late, `after: 4h` counts from the yes; a pause before the sample's hour counts alike."""
    test = "{email: sale, test: {variants: [a, b], send_leader: {by: clicks, sample: 50%, after: 4h}}}"
    any_shop.people(20)
    any_shop.campaign("sale", ASKED + SALE.replace("{email: sale}", test))
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.run("sale", "2026-12-01 15:00")
    assert any_shop.count(t.leader) == 0
    say_yes(any_shop)
    set_operator_state(any_shop.store, ["sale"], "paused", who="ann", at=any_shop.clock.now())
    any_shop.run("sale", "2026-12-01 20:00")
    set_operator_state(any_shop.store, ["sale"], "running", who="ann", at=any_shop.clock.now())
    any_shop.run("sale", "2026-12-01 20:01")
    sampled = len(any_shop.inbox)
    assert 0 < sampled < 20
    any_shop.run("sale", "2026-12-02 00:00")
    assert (any_shop.count(t.leader), len(any_shop.inbox)) == (0, sampled)
    any_shop.run("sale", "2026-12-02 00:01")
    assert (any_shop.count(t.leader), len(any_shop.inbox)) == (1, 20)


# -------------------------------------------------------------------------------------------------- as it is called


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def waiting(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Two people stand and wait for the head's yes."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    monkeypatch.setenv("CARILLON_USER", "ann")
    shop.people(2)
    shop.campaign("sale", ASKED + SALE)
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    return shop


def test_plan_status_explain_and_run_say_whose_yes_is_awaited(waiting: Shop) -> None:
    sentence = f"awaits the yes of {HEAD}; 2 people wait for it"
    (planned,) = json.loads(call("plan", "--now", "2026-11-30T09:00", "--json").output)
    assert planned["awaits"] == [f"awaits the yes of {HEAD}"]
    told = call("plan", "--now", "2026-11-30T09:00").output
    assert f"awaits the yes of {HEAD}: nothing leaves before" in told
    assert "carillon approve sale" in told
    told = call("status").output
    assert f"  {sentence}\n  go on with: carillon approve sale\n" in told
    assert f"but nothing leaves: {sentence}" in call("explain", "p0001", "sale").output
    result = call("run", "sale", "--now", "2026-12-01T10:00")
    assert result.exit_code == 1
    assert f"{sentence} (carillon approve sale)" in result.output


def test_approve_as_it_is_called(waiting: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = call("approve", "sale")
    assert refused.exit_code == 1
    assert "ann is not asked" in refused.stderr
    monkeypatch.setenv("CARILLON_USER", HEAD)
    assert call("approve", "sale", "--why", "read it").output == "sale: approved as it is applied now\n"
    assert call("approve", "sale").output == "sale: nothing waits for a yes\n"
    assert "awaits" not in call("status").output
    with waiting.store.read() as connection:
        rows = connection.execute(t.audit.select().where(t.audit.c.what == "approve").order_by(t.audit.c.id)).all()
    assert (rows[0].who, rows[0].subject, rows[0].details) == (HEAD, "sale", "read it")
