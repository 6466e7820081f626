"""Bodies: the applied content, rendered by columns, as it really leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from carillon.definition.conditions import All
from carillon.definition.model import MessageSource, MessageWords, SourceText
from carillon.delivery.work import work
from carillon.kernel.channels import Channel
from carillon.kernel.clock import HOUR
from carillon.kernel.tokens import Keyring, Token, TokenKind
from carillon.kernel.worker import worker_id
from carillon.messages.compiling import Setting, compile_content
from carillon.messages.content import Content
from carillon.plan.compile import plan_to_json
from carillon.plan.model import Plan
from carillon.plan.rules import SenderRule
from carillon.store import tables as t
from tests.delivery.ground import NOW, RULES, Clocks, connect, faults, provider, seed, states

KEYS = Keyring((b"k" * 32,))
WITH_SENDERS = replace(
    RULES,
    senders=(
        SenderRule("shop", "email", "sendgrid", "hello@acme.example", "Acme", "help@acme.example"),
        SenderRule("sms", "sms", "twilio", messaging_service="MG1"),
    ),
)
SETTING = Setting("en", "https://t.acme.example", "Acme", "Acme GmbH, Berlin")


def mail(html: str, subject: str = "Hello {{ contact.first_name | default: 'you' }}") -> Content:
    source = MessageSource(
        "sale",
        words={"en": MessageWords(subject=subject)},
        html={
            "en": SourceText(
                "sale.html", html + "<p>{{ brand.address }} <a href='{{ links.unsubscribe }}'>leave</a></p>"
            )
        },
    )
    found = compile_content(source, Channel.EMAIL, "en", "", SETTING)
    assert found.content is not None, found.problems
    return found.content


def apply_plan(store) -> None:
    plan = Plan("sale", "Sale", "offers", True, "live", (), All(()), ())
    with store.write("core") as c:
        c.execute(
            t.version.insert().values(id=1, campaign_id=3, meaning="m", plan_json=plan_to_json(plan), applied_at=0)
        )


def apply(store, content: Content) -> None:
    apply_plan(store)
    apply_content(store, content)


def apply_content(store, content: Content) -> None:
    with store.write("core") as c:
        c.execute(t.content.insert().values(id=1, hash=content.hash, compiled=content.to_json(), links="[]"))
        key = {"node_id": 7, "arm": "", "channel": content.channel.value, "language": "en"}
        c.execute(t.node_content.insert().values(**key, content_id=1, applied_at=0))


def hand_over(store, answer=None, supply=None):
    clocks = Clocks()

    async def go():
        async with provider(answer) as it:
            connectors = connect(it)
            result = await work(
                store, connectors=connectors, rules=WITH_SENDERS, keyring=KEYS, campaign_clock=clocks.campaign,
                machine_clock=clocks.machine, worker=worker_id(), campaign_id=3, supply=supply,
            )  # fmt: skip
            for connector in connectors.values():
                await connector.close()
            return result, it

    found = asyncio.run(go())
    assert faults(store) == []
    return found


def read_mail(body: dict, row: int) -> tuple[str, str]:
    """Subject and HTML of one person, as SendGrid fills them in."""
    person = body["personalizations"][row]
    found = body["subject"], next(c["value"] for c in body["content"] if c["type"] == "text/html")
    for tag, text in person.get("substitutions", {}).items():
        found = found[0].replace(tag, text), found[1].replace(tag, text)
    return found


def test_each_person_reads_their_own_words_and_trigger(store):
    """Names, fields of the trigger event and links are the person's own; the cid and the unsubscribe link lead back."""
    seed(store, 3, language="en", sender="shop")
    apply(
        store, mail("<p>{{ contact.first_name }}, your {{ trigger.product | default: 'thing' }} & {{ contact.id }}</p>")
    )
    with store.write("events") as c:
        c.execute(
            t.event.insert().values(occurred_at=5, hash64=6, kind="cart_updated", contact_id=2, intake_id=1, props={"product": "<shoe>"})
        )  # fmt: skip
    with store.write("ledger") as c:
        c.execute(t.enrolment.update().where(t.enrolment.c.id == 2).values(trigger_at=5, trigger_hash=6))
    result, it = hand_over(store)
    assert result.people == {"accepted": 3}
    (body,) = it.bodies
    read = [read_mail(body, row) for row in range(3)]
    assert [subject for subject, _ in read] == ["Hello N1", "Hello N2", "Hello N3"]
    assert ["N1, your thing &" in read[0][1], "N2, your &lt;shoe&gt; &" in read[1][1], "c3</p>" in read[2][1]] == [
        True
    ] * 3
    person = body["personalizations"][1]
    assert KEYS.read(person["custom_args"]["cid"]) == Token(TokenKind.MESSAGE, 7, 2)
    leave = person["headers"]["List-Unsubscribe"].removeprefix("<https://t.acme.example/u/").removesuffix(">")
    assert KEYS.read(leave) == Token(TokenKind.UNSUBSCRIBE, 7, 2)
    assert leave in read[1][1]
    assert (body["from"], body["reply_to"]) == (
        {"email": "hello@acme.example", "name": "Acme"},
        {"email": "help@acme.example"},
    )
    assert body["categories"] == ["sale", "sale/email.sale"]


def test_a_template_may_withhold_and_may_fail(store):
    """Who is skipped by `{% skip %}` and who breaks the template get nothing, each with the reason; the others do."""
    seed(store, 6, language="en", sender="shop")
    with store.write("core") as c:
        c.execute(t.contact.update().where(t.contact.c.id == 2).values(attrs={"first_name": "gone"}))
        c.execute(t.contact.update().where(t.contact.c.id == 3).values(attrs={}))
    apply(
        store,
        mail(
            "{% if contact.first_name == 'gone' %}{% skip 'out of stock' %}{% endif %}<p>{{ contact.first_name }}</p>"
        ),
    )
    result, it = hand_over(store)
    assert result.people == {"accepted": 4, "skipped:template_skip": 1, "skipped:render_failed": 1}
    assert states(store) == {"accepted": 4, "skipped:render_failed": 1, "skipped:template_skip": 1}
    assert len(it.got) == 4


def test_the_newest_text_goes_out_and_a_missing_one_waits(store):
    """Without a content nobody is skipped: the batch says why it waits; once applied, its people get that text."""
    seed(store, 2, language="en", sender="shop")
    apply_plan(store)
    result, it = hand_over(store)
    assert (states(store), it.requests) == ({"ready": 2}, 0)
    assert result.unbuilt == {1: "nothing is applied for this message in en"}
    apply_content(store, mail("<p>New</p>"))
    with store.write("ledger") as c:
        c.execute(t.batch.update().values(retry_at=None))
    assert hand_over(store)[0].accepted == 2


def test_a_text_says_how_long_it_is_worth_delivering(store):
    """`not_after` in one hour becomes Twilio's validity, and its reports come to the connector's webhook."""
    seed(store, 1, channel="sms", connector="twilio", language="en", sender="sms", not_after=NOW + 2 * HOUR)
    source = MessageSource("sale", sms={"en": SourceText("sale.sms.txt", "Hi {{ contact.first_name }}")})
    content = compile_content(source, Channel.SMS, "en", "", SETTING).content
    apply(store, content)
    _, it = hand_over(store)
    (form,) = it.bodies
    assert (form["Body"], form["To"], form["ValidityPeriod"], form["MessagingServiceSid"]) == ("Hi N1", "+491700000001", "3600", "MG1")  # fmt: skip
    assert form["StatusCallback"].startswith("https://t.acme.example/webhooks/twilio?cid=")


def test_who_can_never_be_taken_by_the_provider_does_not_stop_the_others(store):
    """One person's value is larger than SendGrid takes: that person is skipped as not rendered, five get the mail."""
    seed(store, 6, language="en", sender="shop")
    with store.write("core") as c:
        c.execute(t.contact.update().where(t.contact.c.id == 4).values(attrs={"first_name": "x" * 11_000}))
    apply(store, mail("<p>{{ contact.first_name }}</p>", "Hello"))
    assert hand_over(store)[0].people == {"accepted": 5, "skipped:render_failed": 1}
