"""What an advance runs on, put together once a process by `assembly`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from carillon.delivery.protocol import Connector
from carillon.kernel.clock import Clock
from carillon.kernel.tokens import Keyring
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class Engine:
    """Shared by all campaigns of one process."""

    store: Store
    make_connectors: Callable[[], Mapping[str, Connector]]
    """Called inside the event loop that uses them; the caller closes them."""
    max_people: Mapping[str, int]
    """Connector → how many people one request takes."""
    keyring: Keyring
    campaign_clock: Clock
    machine_clock: Clock
