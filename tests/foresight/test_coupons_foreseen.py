"""What is said of coupons beforehand and afterwards: plan, import, status, doctor, preview, explain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from carillon.cli.explain import lines
from carillon.cli.main import main
from carillon.foresight.draft import draft_of
from carillon.foresight.explain import explain
from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import Outlook, outlook
from carillon.foresight.preview import previews
from carillon.foresight.supplies import coupon_lines, low_supplies
from carillon.journey.ground import load_ground
from carillon.operating.check_store import check_coupons
from carillon.plan.applied import load_rules
from carillon.policy.coupons import add_codes, stock_of
from carillon.reports.status import status
from carillon.store.zones import ready_for_zones
from tests.shop import DESIGN, Shop

SALE = "audience: everyone\nentry: {at: 2026-11-03 09:00}\nholdout: 20%\njourney: [{email: hello, coupon: cart5}]\n"
WORDS = "subject: '{{ coupon.code }} until {{ coupon.valid_until | date: \"%d.%m.%Y\" }}'\ntexts: {headline: Hello}\n"
FILES = {"hello.yaml": WORDS, "hello.html": DESIGN}


def a_shop(
    shop: Shop, codes: Sequence[str], rule: str = "{valid_for: 7d, low: 5}", files: dict[str, str] = FILES
) -> Shop:
    shop.workspace(f"coupons: {{cart5: {rule}}}\n")
    with shop.store.write("ledger") as connection:
        add_codes(connection, "cart5", codes)
    shop.campaign("sale", SALE, files)
    return shop


def foresee(shop: Shop, codes_ahead: dict[str, int] | None = None) -> Outlook:
    draft = shop.draft("sale")
    ready_for_zones(shop.store)
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        return outlook(connection, ground, draft.contents, codes_ahead)


@pytest.fixture
def at_hand(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The commands find this shop."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    return shop


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_who_gets_no_code_by_the_plan_gets_none_in_the_run(any_shop: Shop) -> None:
    """Twelve people, some held out, four codes: the plan's numbers are the run's, and it says what is lacking."""
    shop = a_shop(any_shop, ["A1", "A2", "A3", "A4"])
    shop.people(12)
    seen = foresee(shop)
    (first,) = seen.first_messages
    assert list(low_supplies(seen)) == [
        f"email.hello: {first.skipped['no_coupon']:,} people would get nothing, because the codes do not suffice",
        "4 codes of cart5 are left, below 5: carillon import coupons cart5 FILE",
    ]
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    sends = list(shop.sends("email.hello").values())
    assert (sends.count("accepted"), sends.count("skipped:no_coupon"), sends.count("ghost")) == (
        first.gets, first.skipped["no_coupon"], first.held,
    )  # fmt: skip
    assert first.gets == 4


def test_codes_that_apply_lays_in_are_counted_before(any_shop: Shop) -> None:
    shop = a_shop(any_shop, [])
    shop.people(3)
    assert foresee(shop).first_messages[0].gets == 0
    seen = foresee(shop, {"cart5": 9})
    assert seen.first_messages[0].gets + seen.first_messages[0].held == 3
    assert list(coupon_lines(shop.draft("sale").rules, seen)) == [
        "cart5: 9 codes left, each good for 7d from the decision on"
    ]


def test_the_file_of_a_pool_is_laid_in_by_apply_once(at_hand: Shop) -> None:
    """New lines come in with the next apply; the plan before counts them."""
    a_shop(at_hand, [], "{file: coupons/cart5.csv, valid_for: 7d}")
    at_hand.people(2)
    file = at_hand.campaigns / "coupons" / "cart5.csv"
    file.parent.mkdir()
    file.write_text("code;note\nA1;x\nA2;y\n", "utf-8")
    (planned,) = json.loads(call("plan", "sale", "--json", "--now", "2026-11-01T09:00").output)
    assert planned["coupons"] == [{"pool": "cart5", "left": 2, "low": 0}]
    result = call("apply", "sale", "--no-deploy", "--now", "2026-11-01T09:00")
    assert (result.exit_code, result.stderr) == (0, "cart5: 2 new codes of coupons/cart5.csv\n")
    file.write_text("code;note\nA1;x\nA2;y\nA3;z\n", "utf-8")
    assert (
        call("apply", "sale", "--no-deploy", "--now", "2026-11-01T09:00").stderr
        == "cart5: 1 new code of coupons/cart5.csv\n"
    )
    file.write_bytes(b"A1\n\xff\n")
    result = call("apply", "sale", "--no-deploy", "--now", "2026-11-01T09:00")
    assert (result.exit_code, "byte 3 is no UTF-8" in result.stderr) == (1, True)


def test_codes_are_imported_by_hand_and_refused_rows_are_told(at_hand: Shop, tmp_path: Path) -> None:
    a_shop(at_hand, ["A1"])
    file = tmp_path / "more.csv"
    file.write_text("Coupon Code\nA1\nB1\n\nB1\nb1\na1\n", "utf-8")
    told = json.loads(call("import", "coupons", "cart5", str(file), "--json").output)
    assert told == {
        "pool": "cart5", "new": 1, "known": 1, "left": 2,
        "refused": [
            {"row": 4, "reason": "no code"}, {"row": 5, "reason": "stands twice in the file"},
            {"row": 6, "reason": "is B1 in other letters"}, {"row": 7, "reason": "is A1 of cart5 in other letters"},
        ],
    }  # fmt: skip
    again = call("import", "coupons", "cart5", str(file))
    assert again.output.startswith(
        "cart5: 0 new codes, 3 that it has already; 2 are left\n3 rows refused:\n  row 4: no code\n"
    )
    wrong = call("import", "coupons", "cart", str(file))
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        'workspace.yaml has no pool of coupons "cart" (did you mean "cart5"?)\n',
    )


def test_status_and_doctor_say_when_a_pool_runs_low(any_shop: Shop) -> None:
    shop = a_shop(any_shop, ["A1"])
    shop.apply()
    (supply,) = status(shop.store, shop.loaded, shop.clock.now(), shop.engine.machine_clock).coupons
    assert (supply.left, supply.is_low) == (1, True)
    with shop.store.read() as connection:
        (check,) = check_coupons(connection, load_rules(connection))
    assert (check.level, check.says) == ("warn", "1 code left, below 5")
    with shop.store.write("ledger") as connection:
        add_codes(connection, "cart5", ["A2", "A3", "A4", "A5"])
        (check,) = check_coupons(connection, load_rules(connection))
    assert (check.level, check.says) == ("ok", "5 codes left")


@pytest.mark.parametrize(
    ("journey", "rule", "said"),
    [
        ("[{email: hello}]", "{valid_for: 7d}", "its step gives no code: write coupon: POOL beside it"),
        (
            "[{email: hello, coupon: cart5}]", "{}",
            "its codes are good for ever: valid_for under the pool in workspace.yaml ends them",
        ),
    ],
)  # fmt: skip
def test_a_message_that_names_a_code_it_has_not_is_a_problem(shop: Shop, journey: str, rule: str, said: str) -> None:
    shop.workspace(f"coupons: {{cart5: {rule}}}\n")
    shop.campaign("sale", SALE.replace("[{email: hello, coupon: cart5}]", journey), FILES)
    assert said in [problem.suggestion for problem in draft_of(shop.loaded, "sale").errors]


def test_a_preview_shows_a_sample_and_takes_no_code(shop: Shop) -> None:
    a_shop(shop, ["A1"])
    shop.contact("ada")
    with shop.store.read() as connection:
        (seen,) = previews(connection, shop.draft("sale"), shop.clock.now())
        assert [(s.withheld, s.subject) for s in seen.shown] == [(None, "EXAMPLE until 02.12.2026")] * 3
        assert stock_of(connection, "cart5").left == 1


def test_explain_tells_the_story_of_a_code(any_shop: Shop) -> None:
    """Given, and over without an order."""
    shop = a_shop(any_shop, ["A1"])
    shop.campaign("sale", SALE.replace("holdout: 20%\n", ""), FILES)
    shop.contact("ada")
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    shop.run("sale", "2026-11-12 09:00")
    ground = load_ground(shop.store, "sale", shop.clock.now())
    with shop.store.read() as connection:
        told = [line.strip() for line in lines(explain(connection, ground, "ada")) if "coupon cart5:" in line]
    assert told == [
        "2026-11-03 08:00:00 UTC  coupon cart5: A1 given, good until Tue 10 Nov 2026 09:00 CET",
        "2026-11-10 08:00:00 UTC  coupon cart5: A1 was over, in no order",
    ]
