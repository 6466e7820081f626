"""An assignment that was drawn elsewhere: who is named takes the arm named, everybody else is drawn as ever."""

from __future__ import annotations

import pytest

from carillon.journey.assigned import pass_in
from carillon.journey.enter import enter
from carillon.journey.ground import Ground, load_ground
from tests.shop import Shop

SPLIT = """\
audience: everyone
entry: {at: 2026-11-03 09:00}
journey:
  - split:
      nothing: {then: []}
      letter: {then: {email: letter}}
"""


def _standing_at_the_split(shop: Shop, people: int) -> tuple[Ground, list[str]]:
    shop.campaign("test", SPLIT)
    names = shop.people(people)
    shop.apply("test")
    shop.at("2026-11-03 09:00")
    ground = load_ground(shop.store, "test", shop.clock.now())
    enter(ground)
    return ground, names


def test_who_is_named_takes_the_arm_named_and_the_others_are_drawn(shop: Shop) -> None:
    """Of forty people thirty are named, against what would have been drawn for some; they alone decide who is written to."""
    ground, names = _standing_at_the_split(shop, 40)
    split = ground.applied.plan.first or ""
    named = {name: "letter" if n % 3 else "nothing" for n, name in enumerate(names[:30])}
    assert pass_in(ground, split, named) == 30
    assert pass_in(ground, split, dict.fromkeys(names[:30], "nothing")) == 0
    shop.run("test")
    written_to = set(shop.inbox)
    assert {name for name in names[:30] if name in written_to} == {n for n, arm in named.items() if arm == "letter"}
    drawn = [name for name in names[30:] if name in written_to]
    assert 0 < len(drawn) < 10


def test_an_arm_that_is_not_there_is_refused_before_anything_is_written(shop: Shop) -> None:
    """The error names the arm and those that exist."""
    ground, names = _standing_at_the_split(shop, 3)
    with pytest.raises(ValueError, match="no arm 'postcard'; there are: letter, nothing"):
        pass_in(ground, ground.applied.plan.first or "", {names[0]: "letter", names[1]: "postcard"})
    shop.run("test")
    assert shop.violations() == []
