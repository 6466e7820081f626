"""A shop whose topic `club` asks for a second yes."""

from __future__ import annotations

from tests.shop import WORKSPACE, Shop

CONFIRM = "confirm-club-email"
WITH_CONFIRM = WORKSPACE.replace("consent: {email: double}}", "consent: {email: double}, confirm: please_confirm}")
WORDS = "subject: Is it you?\ntexts: {headline: One click more}\n"
DESIGN = '<p>{{ t.headline }}</p><p><a href="{{ links.confirm }}">Yes, it is me</a></p>'
MEMBERS = "topic: club\nentry: {subscribes: club}\njourney: [{email: hello}]\n"


def asking(shop: Shop, workspace: str = WITH_CONFIRM) -> Shop:
    """The shop with a topic that asks, and a campaign for whoever has answered, applied at 12:00; it is 12:10."""
    shop.write("workspace.yaml", workspace)
    shop.write("messages/please_confirm.yaml", WORDS)
    shop.write("messages/please_confirm.html", DESIGN)
    shop.write("messages/please_confirm.de.yaml", "subject: Sind Sie es?\ntexts: {headline: Noch ein Klick}\n")
    shop.campaign("hello", MEMBERS)
    shop.apply()
    shop.at("2026-11-02 12:10")
    return shop
