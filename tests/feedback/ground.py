"""A small shop under way: contacts, one campaign's node with a content, enrolments and sends, as the ledger holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND
from carillon.kernel.ids import h31
from carillon.kernel.tokens import Keyring, TokenKind
from carillon.plan.rules import Rules, TopicRule
from carillon.store import tables as t
from carillon.store.engine import Store

KEYS = Keyring((b"a key of the tests, 32 bytes it is",))
NOON = 1_790_000_000 * SECOND
LINKS = '[{"url":"https://shop.example/a","carried":false},{"url":"https://shop.example/b"},{"url":"https://shop.example/c"}]'
EMAIL_NODE, SMS_NODE = 1, 2
CAMPAIGN = 1
PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"


@dataclass
class Ground:
    """What stands in the store, and short words to let things happen to it."""

    store: Store
    people: dict[str, int] = field(default_factory=dict)

    def contact(self, name: str, **fields: Any) -> int:
        with self.store.write("core") as connection:
            contact_id = connection.execute(
                t.contact.insert()
                .values(
                    shop_id=name, email_key=f"{name}@example.com", zone="Europe/Berlin", zone_source="workspace",
                    h31=h31(name), created_at=NOON, attrs={}, **{"phone_key": None, **fields},
                )
                .returning(t.contact.c.id)
            ).scalar_one()  # fmt: skip
            connection.execute(
                t.standing.insert().values(
                    contact_id=contact_id, zone="Europe/Berlin", language="en", country="DE", h31=h31(name)
                )
            )
        self.people[name] = contact_id
        return int(contact_id)

    def sent(self, name: str, node: int = EMAIL_NODE, *, state: str = "accepted", ref: str = "req1") -> int:
        """One send of this contact in a batch of its own; returns the enrolment."""
        channel = "email" if node == EMAIL_NODE else "sms"
        with self.store.write("ledger") as connection:
            enrolment = connection.execute(
                t.enrolment.insert()
                .values(
                    campaign_id=CAMPAIGN, version_id=1, wave_id=1, contact_id=self.people[name], node_id=node,
                    arrived_at=NOON, entered_at=NOON, state="live", thing=f"{node}.{ref}",
                )
                .returning(t.enrolment.c.id)
            ).scalar_one()  # fmt: skip
            batch = connection.execute(
                t.batch.insert()
                .values(
                    campaign_id=CAMPAIGN, node_id=node, language="en", channel=channel, connector="sandbox", n=1,
                    due_at=NOON, decided_at=NOON, state=state, provider_ref=ref,
                )
                .returning(t.batch.c.id)
            ).scalar_one()  # fmt: skip
            connection.execute(
                t.send.insert().values(
                    node_id=node, enrolment_id=enrolment, contact_id=self.people[name], channel=channel, due_at=NOON,
                    decided_at=NOON, batch_id=batch,
                )
            )  # fmt: skip
        return int(enrolment)

    def rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    def response(self, enrolment: int) -> dict[str, Any]:
        (row,) = self.rows(sa.select(t.response).where(t.response.c.enrolment_id == enrolment))
        return row

    def signals(self, *kinds: str) -> list[tuple[str, str, str]]:
        rows = self.rows(sa.select(t.signal).where(t.signal.c.kind.in_(kinds)).order_by(t.signal.c.id))
        return [(row["kind"], row["subject"], row["thing"]) for row in rows]


def lay_ground(store: Store) -> Ground:
    with store.write("core") as connection:
        connection.execute(t.campaign.insert().values(id=CAMPAIGN, name="spring_sale", live_version=1))
        connection.execute(
            t.version.insert().values(
                id=1, campaign_id=CAMPAIGN, meaning="m", plan_json='{"topic": "offers"}', applied_at=NOON
            )
        )
        for node, step in ((EMAIL_NODE, "email.sale"), (SMS_NODE, "sms.sale")):
            connection.execute(t.node.insert().values(id=node, campaign_id=CAMPAIGN, step_id=step, kind="message"))
        connection.execute(t.content.insert().values(id=1, hash="h", compiled="{}", links=LINKS))
        for node, channel in ((EMAIL_NODE, "email"), (SMS_NODE, "sms")):
            connection.execute(
                t.node_content.insert().values(
                    node_id=node, arm="", channel=channel, language="en", content_id=1, applied_at=NOON
                )
            )
    return Ground(store)


def cid(enrolment: int, node: int = EMAIL_NODE) -> str:
    return KEYS.make(TokenKind.MESSAGE, node, enrolment)


def report(kind: str, enrolment: int | None = None, second: int = 0, **fields: Any) -> Feedback:
    """A report about an e-mail, `second` seconds after noon, as a connector would give it."""
    token = cid(enrolment) if enrolment is not None else None
    agent = fields.pop("user_agent", PERSON if kind in ("opened", "clicked") else "")
    url, address = fields.get("url", ""), fields.get("address", "")
    return Feedback(
        FeedbackKind(kind), NOON + second * SECOND, fields.pop("channel", Channel.EMAIL), "sendgrid",
        "\n".join((token or address, kind, str(second), url, agent, fields.get("provider_ref") or "")),
        cid=token, user_agent=agent, **fields,
    )  # fmt: skip


RULES = Rules(
    name="Acme <Shop>",
    timezone="Europe/Berlin",
    currency="EUR",
    address="Acme GmbH, Hauptstr. 1, 10115 Berlin",
    public_url="https://t.acme.example",
    languages=("en", "de"),
    country_language={"DE": "de"},
    topics={
        "offers": TopicRule("offers", True, {"": "Offers", "de": "Angebote"}, {"email": "explicit", "sms": "explicit"}),
        "service": TopicRule("service", False, {"": "Orders and deliveries"}, {}),
    },
    senders=(),
)
