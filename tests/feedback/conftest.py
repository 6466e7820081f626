from __future__ import annotations

import pytest

from carillon.store.engine import Store
from tests.conftest import StoreMaker
from tests.feedback.ground import Ground, lay_ground


@pytest.fixture
def ground(store: Store) -> Ground:
    return lay_ground(store)


class _Grounds(dict[str, tuple[Ground, list[int]]]):
    """A store of each dialect with the same two people, made when it is first asked for."""

    def __init__(self, new_store: StoreMaker) -> None:
        super().__init__()
        self._new_store = new_store

    def __missing__(self, dialect: str) -> tuple[Ground, list[int]]:
        ground = lay_ground(self._new_store(dialect))
        for name in ("ada", "bob"):
            ground.contact(name)
        self[dialect] = (ground, [ground.sent(name) for name in ("ada", "bob")])
        return self[dialect]


@pytest.fixture
def shared_ground(new_store: StoreMaker) -> dict[str, tuple[Ground, list[int]]]:
    return _Grounds(new_store)
