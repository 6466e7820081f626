"""What a worker that runs no campaign does before it claims: it folds what came in, and whoever exits by it leaves."""

from __future__ import annotations

from carillon.advance.analysts import hold_unanswered
from carillon.advance.heard import heard_kinds
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold, has_new
from carillon.journey.exits import exits
from carillon.journey.ground import load_ground
from carillon.kernel.clock import Micros
from carillon.plan.applied import applied_names, load_rules
from carillon.store.engine import Store


def listen(store: Store, now: Micros) -> None:
    """Exits of all campaigns as of now. Beside an advance of the same campaign it asks the same and changes nothing more."""
    if has_new(store):
        fold(store, now, heard=heard_kinds(store))
        with store.read() as connection:
            rules = load_rules(connection)
        apply_effects(store, now, rules)
    with store.read() as connection:
        names = applied_names(connection)
    for name in names:
        ground = load_ground(store, name, now)
        if not hold_unanswered(ground):
            exits(ground)
