"""A sandbox for the connectors to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carillon.sandbox.keys import Keys
from carillon.sandbox.server import Running, make_world, start_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    """A sandbox that forgets everything at its end."""
    with start_sandbox(make_world(keys=Keys(b"tests"))) as running:
        yield running
