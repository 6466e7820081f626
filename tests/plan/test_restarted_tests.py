"""The words of a running test: `apply` refuses others, `--restart-test` asks anew, and what was measured is kept apart."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.cli.opened import Opened
from carillon.cli.plan import apply_all, foresee
from carillon.foresight.screen import blocking
from carillon.journey.ground import load_ground
from carillon.kernel.clock import from_micros
from carillon.plan.generations import generations_of
from carillon.reports.build import build_report
from carillon.reports.sentences import title_of
from carillon.settings import Settings
from carillon.store import tables as t
from tests.shop import Shop, counted

PLAIN = """\
audience: everyone
entry: {event: cart_updated}
verdict: {looks: [2d, 5d]}
journey:
  - {email: sale, test: {variants: [plain, personal]}}
"""
LEADER = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - {email: sale, test: {variants: [plain, personal], send_leader: {by: clicks, sample: 50%, after: 4h, min_events: 1}}}
"""


def words(personal: str) -> dict[str, str]:
    variants = f'variants:\n  plain: {{subject: plain}}\n  personal: {{subject: "{personal}"}}\n'
    return {"sale.yaml": f"subject: sale\ntexts: {{headline: Hello}}\n{variants}"}


def house(shop: Shop) -> Opened:
    return Opened(Settings(shop.folder, shop.campaigns, shop.store.url, None, {}), shop.store, shop.loaded)


def apply(shop: Shop, *, restarts: bool = False) -> str:
    now = from_micros(shop.clock.now()).isoformat()
    return apply_all(house(shop), ["sale"], now, restarts=restarts)[0][1]


def carts(shop: Shop, *names: str) -> None:
    for name in names:
        shop.event(name, "cart_updated", cart_id=name)


def asked_of(shop: Shop) -> list[tuple[str, int]]:
    """Title of each question of the report, and how many were exposed."""
    with shop.store.read() as connection:
        report = build_report(connection, load_ground(shop.store, "sale", shop.clock.now()))
    return [(title_of(q, report.zone), sum(arm.exposed for arm in q.result.arms)) for q in report.questions]


@pytest.fixture
def running(any_shop: Shop) -> Shop:
    """Forty people have had one of two subjects; the looks are planned for two and five days later."""
    any_shop.people(60)
    any_shop.campaign("sale", PLAIN, words("Ann"))
    apply(any_shop)
    any_shop.at("2026-12-01 09:00")
    carts(any_shop, *(f"p{n:04}" for n in range(1, 41)))
    any_shop.run("sale")
    assert len(any_shop.mail.letters) == 40
    any_shop.at("2026-12-02 09:00")
    return any_shop


def test_changed_words_of_a_running_test_are_refused_and_plan_says_so(
    running: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which words, how many people had the others, how long it runs, and what to do."""
    running.campaign("sale", PLAIN, words("Bob"))
    draft, outlook = foresee(house(running), "sale", from_micros(running.clock.now()).isoformat())
    (told,) = blocking(draft, outlook)
    assert told == (
        "email.sale is a test that 40 people have had, and its words have changed (personal, email, en): "
        "it runs until 2026-12-06 08:00 UTC; put them back, or begin anew with `carillon apply sale --restart-test`"
    )
    with pytest.raises(SystemExit):
        apply(running)
    assert f"sale: {told}" in capsys.readouterr().err
    carts(running, "p0041")
    running.run("sale")
    assert running.mail.letters[-1].text in ("plain", "Ann")


def test_unchanged_words_and_other_changes_need_no_restart(running: Shop) -> None:
    running.campaign("sale", PLAIN + "priority: 70\n", words("Ann"))
    assert apply(running) == "unchanged"
    assert apply(running, restarts=True) == "unchanged"
    assert asked_of(running) == [("Test at email.sale", 40)]


def test_a_restarted_test_is_another_question_and_the_old_one_is_kept(running: Shop) -> None:
    """Twenty more people are drawn by the new name; neither the arms nor the figures are mixed, nor is a look taken of the old."""
    running.campaign("sale", PLAIN, words("Bob"))
    assert apply(running, restarts=True) == "texts"
    running.at("2026-12-02 10:00")
    carts(running, *(f"p{n:04}" for n in range(41, 61)))
    running.run("sale")
    old = "Test at email.sale until Wed 02 Dec 2026 09:00 CET, before its words were changed"
    assert asked_of(running) == [(old, 40), ("Test at email.sale", 20)]
    assert {letter.text for letter in running.mail.letters[40:]} == {"plain", "Bob"}
    with running.store.read() as connection:
        names = [
            one.name
            for one in generations_of(connection, load_ground(running.store, "sale", 0).applied.nodes["email.sale"])
        ]
    assert names == ["sale/email.sale", "sale/email.sale@2"]
    running.run_to("sale", "2026-12-08 09:00")
    looks = running._rows(sa.select(t.look.c.experiment, t.look.c.no).order_by(t.look.c.at))
    assert looks == [("sale/email.sale@2", 1), ("sale/email.sale@2", 2)]
    assert running.violations() == []


def test_a_test_that_is_over_begins_anew_by_itself(running: Shop) -> None:
    """After its last look other words are another question; plan says so, and nobody has to."""
    running.run_to("sale", "2026-12-07 09:00")
    running.campaign("sale", PLAIN, words("Bob"))
    draft, outlook = foresee(house(running), "sale", from_micros(running.clock.now()).isoformat())
    assert list(blocking(draft, outlook)) == []
    assert [test.sentence.partition("): ")[2] for test in outlook.tests] == [
        "it is over, and begins anew with those who come; what was measured is kept"
    ]
    assert apply(running) == "texts"
    carts(running, "p0041", "p0042")
    running.run("sale")
    assert [n for _, n in asked_of(running)] == [40, 2]


def test_with_a_leader_to_come_another_sample_is_drawn_from_those_who_wait(any_shop: Shop) -> None:
    """Half had the old words; of the other half some get the new ones at once, and the leader is theirs alone."""
    shop = any_shop
    shop.people(80)
    shop.campaign("sale", LEADER, words("Ann"))
    apply(shop)
    shop.run("sale", "2026-12-01 09:00")
    first = set(shop.arms("email.sale"))
    shop.click(min(first), "email.sale", "2026-12-01 09:30")
    shop.at("2026-12-01 10:00")
    shop.campaign("sale", LEADER, words("Bob"))
    with pytest.raises(SystemExit):
        apply(shop)
    assert apply(shop, restarts=True) == "texts"
    shop.run("sale")
    second = set(shop.arms("email.sale")) - first
    assert 0 < len(second) < 80 - len(first)
    assert {letter.text for letter in shop.mail.letters[len(first) :]} == {"plain", "Bob"}
    assert shop.run("sale", "2026-12-01 13:00").stages == ()
    keen = next(name for name, arm in shop.arms("email.sale").items() if name in second and arm == "personal")
    mild = next(name for name, arm in shop.arms("email.sale").items() if name in second and arm == "plain")
    for name in (keen, mild, *(n for n in second if shop.arms("email.sale")[n] == "personal")):
        shop.click(name, "email.sale", "2026-12-01 13:10")
    shop.run("sale", "2026-12-01 14:00")
    assert shop._rows(sa.select(t.leader.c.experiment, t.leader.c.arm)) == [("sale/email.sale@2", "personal")]
    assert counted({n: a for n, a in shop.arms("email.sale").items() if n not in first | second}) == {
        "personal": 80 - len(first) - len(second)
    }
    assert (len(shop.mail.letters), shop.violations()) == (80, [])


def test_a_newsletter_tests_other_words_each_week(shop: Shop) -> None:
    """Each wave is a question of its own: once all of it have had theirs, next week's words are no change of a running test."""
    shop.people(40)
    yaml = LEADER.replace("{at: 2026-12-01 09:00}", "{every: tuesday, at: 09:00}")
    shop.campaign("sale", yaml, words("Ann"))
    apply(shop)
    shop.run("sale", "2026-12-01 09:00")
    shop.campaign("sale", yaml, words("Bob"))
    with pytest.raises(SystemExit):
        apply(shop)
    shop.campaign("sale", yaml, words("Ann"))
    shop.run("sale", "2026-12-01 13:00")
    shop.at("2026-12-07 09:00")
    shop.campaign("sale", yaml, words("Bob"))
    assert apply(shop) == "texts"
    shop.run("sale", "2026-12-08 09:00")
    assert [title for title, _ in asked_of(shop)] == ["Test at email.sale", "Test at email.sale"]
