"""The shop's files brought in by the real imports, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from carillon.consent.standing import ensure_folded, rules_of
from carillon.definition.load import Loaded
from carillon.demo.files import ImportFile
from carillon.kernel.clock import Micros
from carillon.people.importing import ImportResult, plan_import, run_import
from carillon.people.mapping import Source
from carillon.store.engine import Store

Progress = Callable[[float, int], None]


def bring_in(store: Store, loaded: Loaded, file: ImportFile, at: Micros, progress: Progress) -> ImportResult:
    """Import one file as `carillon import` does; what could not be read stands in a file beside it."""
    rules = rules_of(loaded.workspace)
    ensure_folded(store, rules)
    plan = plan_import(
        file.kind, file.path, Source(event=file.event), data=loaded.data, topics=tuple(loaded.workspace.topics),
        rules=rules, workspace_zone=loaded.workspace.timezone, at=at,
        currencies=loaded.workspace.currencies,
    )  # fmt: skip
    return run_import(store, plan, progress=progress)
