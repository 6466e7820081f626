"""What an advance runs on: the store, the connectors and the clocks, put together once by `assembly`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from carillon.delivery.protocol import Connector
from carillon.kernel.clock import Clock
from carillon.kernel.tokens import Keyring
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class Engine:
    """Shared by all campaigns of one process. `make_connectors` is called inside the event loop that uses them."""

    store: Store
    make_connectors: Callable[[], Mapping[str, Connector]]
    max_people: Mapping[str, int]
    """Connector → how many people one request takes."""
    keyring: Keyring
    campaign_clock: Clock
    machine_clock: Clock
    texts: Mapping[str, Any]
    """Values that messages may name, as applied."""
