"""Bodies: the applied content, rendered by columns, as it really leaves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import sqlalchemy as sa

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
from tests.delivery import ground
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
        html={"en": SourceText("sale.html", html + "<p>{{ brand.address }} <a href='{{ links.unsubscribe }}'>leave</a></p>")},
    )
    found = compile_content(source, Channel.EMAIL, "en", "", SETTING)
    assert found.content is not None, found.problems
    return found.content


def apply(store, content: Content) -> None:
    plan = Plan("sale", "Sale", "offers", True, "live", (), None, ())
    with store.write("core") as c:
        c.execute(t.version.insert().values(id=1, campaign_id=3, meaning="m", plan_json=plan_to_json(plan), applied_at=0))
        c.execute(t.content.insert().values(id=1, hash=content.hash, compiled=content.to_json(), links="[]"))
        key = {"node_id": 7, "arm": "", "channel": content.channel.value, "language": "en"}
        c.execute(t.node_content.insert().values(**key, content_id=1, applied_at=0))


def hand_over(store):
    clocks = Clocks()

    async def go():
        async with provider() as it:
            it.keep = True
            connectors = connect(it)
            result = await work(
                store, connectors=connectors, rules=WITH_SENDERS, keyring=KEYS, campaign_clock=clocks.campaign,
                machine_clock=clocks.machine, worker=worker_id(), campaign_id=3,
            )  # fmt: skip
            for connector in connectors.values():
                await connector.close()
            return result, it

    found = asyncio.run(go())
    assert faults(store) == []
    return found
