"""The SQL of statements, compiled once a test process: every test has a store of its own, and all of them ask the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy.util import LRUCache

from carillon.store.engine import PARTS, Store

_KEPT = 4_000


class CompiledStatements(LRUCache[Any, Any]):
    """SQLAlchemy's cache of one engine, for all engines of a dialect: their keys begin with a dialect of their own."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_any_engine(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_of_any_engine(key), compiled)


def _of_any_engine(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *statement = key
    return dialect.name, dialect.driver, *statement


_COMPILED = CompiledStatements(_KEPT)


def compiled_once(store: Store) -> Store:
    """The store, which finds the statements that an earlier one has compiled."""
    for part in (None, *PARTS):
        store.engine(part).update_execution_options(compiled_cache=_COMPILED)
    return store
