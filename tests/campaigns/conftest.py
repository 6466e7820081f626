from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.kernel.channels import Channel
from carillon.plan.permissions import HousePermissions
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.shop import Shop, instant

SHIPPED = Path(__file__).parents[2] / "campaigns"

Happening = tuple[str, Callable[[], object]]


class Weeks(Shop):
    """A shop with the campaigns that ship, in which weeks go by; after every stage the ledger's invariants hold."""

    def pass_by(self, campaign: str, until: str, *happenings: Happening) -> None:
        """Let time pass and advance the campaign whenever it wants to be; what happens in between is heard at once."""
        for at, happens in sorted(happenings, key=lambda happening: instant(happening[0])):
            self.run_to(campaign, at, most=500)
            happens()
            self.run(campaign)
        self.run_to(campaign, until, most=500)

    def attrs(self, name: str) -> dict[str, Any]:
        """What is known of a contact."""
        return dict(self._rows(sa.select(t.contact.c.attrs).where(t.contact.c.shop_id == name))[0][0])

    def allows(self, name: str, topic: str = "offers", channel: Channel = Channel.EMAIL) -> bool:
        """Whether the contact may be written to about a topic."""
        permitted = HousePermissions(self.draft("newsletter").rules).allowed(t.standing, topic, channel)
        return bool(self._rows(sa.select(permitted).where(t.standing.c.contact_id == self.id_of(name)))[0][0])


@pytest.fixture
def weeks(sqlite_store: Store, tmp_path: Path) -> Weeks:
    """Every shipped campaign over an empty store, some days before its first Monday."""
    shop = Weeks(sqlite_store, tmp_path)
    shutil.rmtree(shop.campaigns)
    shutil.copytree(SHIPPED, shop.campaigns)
    shop._loaded = None
    return shop
