"""A proof goes to ourselves by the same connectors, marked, and is counted nowhere."""

from __future__ import annotations

import asyncio

from carillon.delivery.protocol import Outcome, Rejected
from carillon.foresight.preview import previews
from carillon.foresight.proof import ProofSent, proofs_of, send_proofs
from carillon.kernel.channels import Channel
from carillon.store import tables as t
from tests.shop import Letter, Shop

SALE = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey: [{email: sale, test: {variants: [plain, bold]}}, {sms: last}]
"""


def send(shop: Shop) -> list[ProofSent]:
    draft = shop.draft("sale")
    with shop.store.read() as connection:
        found = list(previews(connection, draft, shop.clock.now()))
    to = {Channel.EMAIL: ["crm@acme.example", "boss@acme.example"], Channel.SMS: ["+491701234567"]}
    proofs = list(proofs_of(draft, found, to))
    return asyncio.run(send_proofs(proofs, {"sandbox.email": shop.mail, "sandbox.sms": shop.texts}))


def test_every_variant_comes_to_every_address_with_its_name_in_the_subject(shop: Shop) -> None:
    shop.campaign("sale", SALE)
    shop.contact("ada", first_name="Ada")
    done = send(shop)
    assert [(letter.address, letter.text) for letter in shop.mail.letters] == [
        ("crm@acme.example", "[Proof email.sale · plain · en] sale plain"),
        ("boss@acme.example", "[Proof email.sale · plain · en] sale plain"),
        ("crm@acme.example", "[Proof email.sale · bold · en] sale bold"),
        ("boss@acme.example", "[Proof email.sale · bold · en] sale bold"),
    ]
    assert [letter.address for letter in shop.texts.letters] == ["+491701234567"]
    assert [s.outcome for s in done] == ["sent"] * 5


def test_a_proof_is_counted_nowhere(shop: Shop) -> None:
    """No send, no batch, no enrolment, no money spent; not even a campaign."""
    shop.campaign("sale", SALE)
    shop.contact("ada")
    send(shop)
    assert [shop.count(x) for x in (t.send, t.batch, t.enrolment, t.spent, t.campaign)] == [0] * 5


def test_what_the_provider_refuses_is_told(shop: Shop) -> None:
    """A refusal is not hidden behind the others that went."""

    def no_boss(letter: Letter) -> Outcome:
        return Rejected("mailbox full") if letter.address.startswith("boss") else shop_answer(letter)

    shop.campaign("sale", SALE)
    shop_answer, shop.mail.answer = shop.mail.answer, no_boss
    assert [s.outcome for s in send(shop)] == [
        "sent",
        "not sent: mailbox full",
        "sent",
        "not sent: mailbox full",
        "sent",
    ]
