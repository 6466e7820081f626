"""In staging only our own addresses are written to, whoever matches the audience."""

from __future__ import annotations

from tests.shop import WORKSPACE, Shop, counted

MAIL = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}]\n"
TEXT = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{sms: sale}]\n"


def test_only_listed_addresses_and_domains_are_written_to(any_shop: Shop) -> None:
    """Everybody else is `excluded`, in marketing as in service mail; a domain covers its addresses, not another that ends alike."""
    any_shop.write("workspace.yaml", WORKSPACE + 'allow_list: {email: [Ada@example.com, "@acme.example"]}\n')
    any_shop.contact("ada")
    any_shop.contact("boss", email="Boss@acme.example")
    any_shop.contact("eve", email="eve@notacme.example")
    any_shop.contact("bob")
    any_shop.campaign("sale", MAIL)
    any_shop.campaign("duty", "topic: service\n" + MAIL.replace("sale", "order"))
    any_shop.apply()
    for name, step in (("sale", "email.sale"), ("duty", "email.order")):
        any_shop.run_to(name, "2026-12-01 10:00")
        assert counted(any_shop.sends(step)) == {"accepted": 2, "skipped:excluded": 2}
    assert sorted({letter.address for letter in any_shop.mail.letters}) == ["Boss@acme.example", "ada@example.com"]


def test_a_channel_without_a_list_is_open(any_shop: Shop) -> None:
    """The list of one channel says nothing about the others."""
    any_shop.write("workspace.yaml", WORKSPACE + "allow_list: {sms: ['+491701234567']}\n")
    any_shop.contact("ada", phone="+491701234567")
    any_shop.contact("bob", phone="+491701234568")
    any_shop.campaign("text", TEXT)
    any_shop.campaign("mail", MAIL)
    any_shop.apply()
    any_shop.run_to("text", "2026-12-01 10:00")
    any_shop.run_to("mail", "2026-12-01 10:00")
    assert [letter.address for letter in any_shop.texts.letters] == ["+491701234567"]
    assert len(any_shop.mail.letters) == 2
