"""A step with a coupon: one code an enrolment and pool, set aside when it is decided, used up once it was handed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

import pytest
import sqlalchemy as sa

from carillon.delivery.protocol import Accepted, Outcome, Rejected, Unsure
from carillon.policy.coupons import add_codes
from carillon.store import tables as t
from tests.shop import DATA, DESIGN, Interrupted, Shop, counted, instant

POOL = "cart5"
CODE = {"hello.yaml": "subject: 'hello {{ coupon.code }}'\ntexts: {headline: Hello}\n", "hello.html": DESIGN}
SALE = "audience: everyone\nentry: {at: 2026-11-03 09:00}\njourney:\n  - {email: hello, coupon: cart5}\n"


def shop_with(shop: Shop, codes: Sequence[str], rule: str = "{valid_for: 7d}", more: str = "") -> Shop:
    """A shop with this pool and these codes in it."""
    shop.workspace(f"coupons: {{{POOL}: {rule}}}\n{more}")
    shop.write(
        "data.yaml", DATA.replace("cart_id: word, total: money}", "cart_id: word, total: money, coupon: word}", 1)
    )
    with shop.store.write("ledger") as connection:
        add_codes(connection, POOL, codes)
    return shop


def codes(shop: Shop) -> dict[str, tuple[str | None, str]]:
    """Code → (whose it is, its state)."""
    c, e, p = t.coupon.c, t.enrolment.c, t.contact.c
    with shop.store.read() as connection:
        rows = connection.execute(
            sa.select(c.code, p.shop_id, c.state)
            .join_from(t.coupon, t.enrolment, e.id == c.enrolment_id, isouter=True)
            .outerjoin(t.contact, p.id == e.contact_id)
        ).all()
    return {row.code: (row.shop_id, row.state) for row in rows}


def killed() -> NoReturn:
    """The end of a run that has decided and has not handed over."""
    raise Interrupted


def subjects(shop: Shop) -> dict[str, str]:
    return {letter.address.partition("@")[0]: letter.text for letter in shop.mail.letters}


def test_everybody_gets_a_code_of_their_own(any_shop: Shop) -> None:
    """In the order of the decisions; the next run finds them used up, and the end is seven days from the decision."""
    shop = shop_with(any_shop, ["A1", "A2", "A3"])
    shop.campaign("sale", SALE, CODE)
    for name in ("ada", "bob"):
        shop.contact(name)
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    assert subjects(shop) == {"ada": "hello A1", "bob": "hello A2"}
    assert codes(shop) == {"A1": ("ada", "used"), "A2": ("bob", "used"), "A3": (None, "free")}
    with shop.store.read() as connection:
        ends = connection.scalars(sa.select(t.coupon.c.valid_until).where(t.coupon.c.state == "used")).all()
    assert list(ends) == [instant("2026-11-10 09:00")] * 2


def test_who_comes_when_the_pool_is_empty_is_told_so(any_shop: Shop) -> None:
    """Two codes for four people: the others are counted, and go on; nobody holds a code of somebody else's."""
    shop = shop_with(any_shop, ["A1", "A2"])
    shop.campaign("sale", SALE + "  - wait: 1d\n  - email: bye\n", CODE)
    for name in ("ada", "bob", "cid", "dan"):
        shop.contact(name)
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    assert shop.skips == {"cid": "no_coupon", "dan": "no_coupon"}
    shop.run("sale", "2026-11-04 09:00")
    assert counted(shop.sends("email.bye")) == {"accepted": 4}


def test_a_held_person_takes_no_code_and_gets_a_ghost_where_others_get_one(any_shop: Shop) -> None:
    shop = shop_with(any_shop, ["A1", "A2", "A3"])
    shop.campaign("sale", "holdout: 50%\n" + SALE, CODE)
    names = shop.people(3)
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    states = counted(shop.sends("email.hello"))
    assert states["ghost"] + states["accepted"] == len(names)
    assert states["ghost"]
    assert sum(state == "used" for _, state in codes(shop).values()) == states["accepted"]


@pytest.mark.parametrize("answer, left", [(Rejected("no such mailbox"), "free"), (Unsure("time-out"), "unsure")])
def test_a_code_follows_what_the_provider_says(any_shop: Shop, answer: Rejected | Unsure, left: str) -> None:
    """Rejected: it is free for the next. Unknown: it stays theirs."""
    shop = shop_with(any_shop, ["A1"])
    shop.mail.answer = lambda letter: answer
    shop.campaign("sale", SALE, CODE)
    shop.contact("ada")
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    assert codes(shop) == {"A1": (None if left == "free" else "ada", left)}


def test_a_resend_keeps_its_code(any_shop: Shop) -> None:
    """Unknown at first, then sent once more: the same code, and no second one is taken."""
    shop = shop_with(any_shop, ["A1", "A2"], more="if_unsure: {marketing: resend}\n")
    answers: Iterator[Outcome] = iter([Unsure("time-out"), Accepted("m")])
    shop.mail.answer = lambda letter: next(answers)
    shop.campaign("sale", SALE, CODE)
    shop.contact("ada")
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    shop.run("sale", "2026-11-03 09:30")
    assert [letter.text for letter in shop.mail.letters] == ["hello A1", "hello A1"]
    assert codes(shop) == {"A1": ("ada", "used"), "A2": (None, "free")}


def test_two_messages_of_one_enrolment_bear_one_code(any_shop: Shop) -> None:
    shop = shop_with(any_shop, ["A1", "A2"])
    again = {"again.yaml": "subject: 'again {{ coupon.code }}'\ntexts: {headline: Hello}\n", "again.html": DESIGN}
    shop.campaign("sale", SALE + "  - wait: 1d\n  - {email: again, coupon: cart5}\n", CODE | again)
    shop.contact("ada")
    shop.apply()
    shop.run_to("sale", "2026-11-05 09:00")
    assert [letter.text for letter in shop.mail.letters] == ["hello A1", "again A1"]
    assert codes(shop) == {"A1": ("ada", "used"), "A2": (None, "free")}


def test_a_batch_that_is_released_gives_its_codes_back(any_shop: Shop) -> None:
    """Killed between the decision and the hand-over, then too late: nobody got it, and the code is there for the next."""
    shop = shop_with(any_shop, ["A1"])
    shop.campaign("sale", SALE.replace("cart5}", "cart5, valid_for: 1h}"), CODE)
    shop.contact("ada")
    shop.apply()
    shop.at("2026-11-03 09:00")
    with pytest.raises(Interrupted):
        shop.run("sale", connectors=killed)
    assert codes(shop) == {"A1": ("ada", "set_aside")}
    shop.run("sale", "2026-11-03 11:00")
    shop.run("sale")
    assert shop.skips == {"ada": "expired"}
    assert codes(shop) == {"A1": (None, "free")}


def test_conditions_ask_what_became_of_the_code(any_shop: Shop) -> None:
    """Used in an order, over, or neither: three days later each goes another way."""
    shop = shop_with(any_shop, ["A1", "A2", "A3"], rule="{valid_for: 2d}")
    asked = (
        "  - wait: {wait}\n  - choose:\n"
        "      - {if: {coupon: cart5, is: redeemed}, then: {exit: redeemed}}\n"
        "      - {if: {coupon: cart5, is: expired}, then: {exit: expired}}\n"
        "      - {if: {coupon: cart5, is: unused}, then: {exit: unused}}\n"
        "      - {otherwise: {exit: none}}\n"
    )
    shop.campaign("sale", SALE + asked.replace("{wait}", "1d"), CODE)
    shop.campaign("late", SALE.replace("hello", "late") + asked.replace("{wait}", "3d"), {})
    for name in ("ada", "bob"):
        shop.contact(name)
    shop.apply("sale")
    shop.run("sale", "2026-11-03 09:00")
    shop.at("2026-11-03 12:00")
    shop.order("bob", coupon="a1")
    shop.run("sale", "2026-11-04 09:00")
    assert shop.enrolments == {"ada": "redeemed", "bob": "unused"}


def test_wait_for_a_redemption_ends_at_the_instant_of_the_order(any_shop: Shop) -> None:
    """Another account ordered with it: looked at a quarter of an hour later, and counted from the order."""
    shop = shop_with(any_shop, ["A1", "A2"])
    wait = (
        "  - wait_for:\n      - {if: {coupon: cart5, is: redeemed}, then: [{wait: 1h}, {email: thanks}]}\n"
        "      - {if: {coupon: cart5, is: expired}, then: {exit: over}}\n      - {after: 30d, then: {exit: late}}\n"
    )
    shop.campaign("sale", SALE + wait, CODE)
    for name in ("ada", "bob"):
        shop.contact(name)
    shop.apply()
    shop.run("sale", "2026-11-03 09:00")
    shop.at("2026-11-03 10:00")
    shop.order("eve", coupon="A1")
    shop.run_to("sale", "2026-11-03 11:00")
    assert shop.inbox == ["ada", "bob", "ada"]
    shop.run("sale", "2026-11-10 08:59")
    shop.run_to("sale", "2026-11-10 09:15")
    assert shop.enrolments == {"ada": "finished", "bob": "over"}
