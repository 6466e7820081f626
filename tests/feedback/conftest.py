from __future__ import annotations

import pytest

from carillon.store.engine import Store
from tests.feedback.ground import Ground, lay_ground


@pytest.fixture
def ground(store: Store) -> Ground:
    return lay_ground(store)
