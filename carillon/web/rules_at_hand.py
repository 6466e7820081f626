"""The applied house rules, kept at hand for a web that outlives many an `apply`."""

from __future__ import annotations

import time

from carillon.plan.applied import load_rules
from carillon.plan.rules import Rules
from carillon.store.engine import Store

FRESH_S = 5.0
"""A change by `apply` is seen after this; rules are asked at every request."""


class RulesAtHand:
    """Calls give the newest applied rules, the same object until they change; LookupError where none were applied."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules = self._load()
        self._read_at = time.monotonic()

    def __call__(self) -> Rules:
        if time.monotonic() - self._read_at > FRESH_S:
            newest = self._load()
            self._rules = self._rules if newest == self._rules else newest
            self._read_at = time.monotonic()
        return self._rules

    def _load(self) -> Rules:
        with self._store.read() as connection:
            return load_rules(connection)
