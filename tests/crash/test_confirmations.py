"""kill -9 while sign-ups are answered: whoever has said yes is asked, nobody twice, and what may have left is unsure."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.conftest import STORES, StoreMaker
from tests.crash.house import WORKSPACE, House, sink

CONFIRM = "confirm-offers-email"
ASKING = WORKSPACE.replace("{email: explicit, sms: explicit}}", "{email: double}, confirm: please_confirm}")
LINK = "<p>{{ t.headline }}</p><a href='{{ links.confirm }}'>Yes</a>"
POINTS = (
    "between_stages:2",
    "between_stages:6",
    "before_claim:1",
    "after_claim_commit:1",
    "after_hand_over_before_settle:1",
)
"""Told and not entered, entered and not decided, decided, claimed, handed over."""
LEFT = {"after_claim_commit:1", "after_hand_over_before_settle:1"}
"""Points behind which nobody can know: what is unsure is not repeated on a guess."""


@pytest.mark.parametrize("dialect", STORES)
@pytest.mark.timeout(180)
def test_sign_ups_survive_the_death_of_who_answers_them(dialect: str, new_store: StoreMaker, tmp_path: Path) -> None:
    """Four people sign up before each of five kills."""
    with sink(seed=5) as provider:
        house = House(new_store(dialect), tmp_path / "shop", provider)
        house.shop.write("workspace.yaml", ASKING)
        house.shop.write("messages/please_confirm.yaml", "subject: Is it you?\ntexts: {headline: One click more}\n")
        house.shop.write("messages/please_confirm.html", LINK)
        house.shop.apply(CONFIRM)
        for number, point in enumerate(POINTS):
            house.shop.at(f"2026-11-02 12:{10 + number}")
            for one in range(4):
                house.shop.contact(f"p{number}{one}", consent=("offers/email",))
            now = f"2026-11-02T12:{10 + number}"
            child = house.start("run", CONFIRM, "--now", now, crash_at=point)
            child.join(120)
            assert (point, child.exitcode) == (point, -signal.SIGKILL)
            house.command("run", CONFIRM, "--now", now)
            assert house.violations() == []
        assert house.states() == {"accepted": 4 * (len(POINTS) - len(LEFT)), "unsure": 4 * len(LEFT)}
        assert set(house.reached().values()) == {1}
        assert len(house.reached()) == 4 * (len(POINTS) - 1)
