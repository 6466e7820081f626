"""Analysts' SQL is tried before a run builds on it: what the store cannot answer holds the campaign, with the reason."""

from __future__ import annotations

from carillon.audience.analyst import PATIENCE_OF_RUNS_S, AnalystFault, try_it
from carillon.audience.select import sql_in
from carillon.journey.ground import Ground
from carillon.plan.model import conditions_of
from carillon.store import tables as t


def hold_unanswered(ground: Ground) -> bool:
    """Hold the campaign where its SQL, or that of the workspace's exclusions, has no answer any more."""
    house = () if ground.rules.exclude is None else (ground.rules.exclude,)
    own = (condition for plan in ground.applied.versions.values() for condition in conditions_of(plan))
    try:
        for sql in sql_in(*own, *house):
            try_it(ground.store, sql, ground.now, PATIENCE_OF_RUNS_S)
    except AnalystFault as fault:
        reason = f"{fault}; correct it and apply"
        with ground.store.write("core") as connection:
            mine = t.campaign.c.id == ground.applied.id
            connection.execute(t.campaign.update().where(mine).values(hold_reason=reason))
        return True
    return False
