"""A small workspace that is right, to be spoiled one file at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from carillon.definition.load import Loaded, load_workspace
from carillon.kernel.problems import render

RIGHT: Mapping[str, str] = {
    "workspace.yaml": """\
name: Acme
timezone: Europe/Berlin
currency: EUR
address: Acme GmbH, Berlin
languages: {en: [GB], de: [DE]}
senders:
  email: {shop: {connector: sandbox, from: Acme <hello@acme.example>}}
  sms: {connector: sandbox, from: ACME}
topics:
  offers: {kind: marketing, name: Offers, consent: {email: explicit, sms: explicit}}
  service: {kind: transactional, name: Orders}
""",
    "data.yaml": """\
contact: {tier: {one_of: [basic, gold]}, birthday: date, age: number, vip: flag, score: {type: number, set_by: campaigns}}
events:
  order_completed: {order_id: word, cart_id: word, total: money, products: [{product_id: word, category: word, price: money}]}
  cart_updated: {cart_id: word, total: money, items: list, at: instant}
""",
    "values.yaml": "sale_ends: 2027-01-03 23:59\n",
    "segments/buyers.yaml": "who: {event: order_completed}\n",
    "sale/campaign.yaml": """\
topic: offers
audience: {segment: buyers}
entry: {at: 2026-12-01 09:00}
journey:
  - email: hello
""",
    "sale/messages/hello.yaml": "subject: Hello\n",
    "sale/messages/hello.txt": "Hello {{ links.unsubscribe }}\n",
}


class Shop:
    """A workspace on disk; `with_files` lays files over the right ones (None takes one away)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.put(RIGHT)

    def put(self, files: Mapping[str, str | bytes | None]) -> Shop:
        for path, content in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def load(self, env: str | None = None) -> Loaded:
        return load_workspace(self.folder, env=env)

    def said(self) -> str:
        """What `check` prints about it, but for the last line."""
        loaded = self.load()
        return render(loaded.problems, loaded.sources)

    def headlines(self) -> list[str]:
        """`file:line:column  CODE  message` of each problem."""
        return [f"{p.position}  {p.code}  {p.message}" for p in self.load().problems]

    def journey(self, text: str, top: str = "") -> Shop:
        """The campaign `sale` with this journey."""
        entry = "" if "entry:" in top else "entry: {at: 2026-12-01 09:00}\naudience: everyone\n"
        return self.put({"sale/campaign.yaml": f"topic: offers\n{entry}{top}journey:\n{text}"})


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "campaigns")
