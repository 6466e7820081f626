"""Holdout: who gets nothing, decided before any variant. The global control group first, then the campaign's."""

from __future__ import annotations

from typing import Literal, Protocol

import sqlalchemy as sa

from carillon.experiment.buckets import Column, bucket_sql
from carillon.kernel.ids import bucket

Role = Literal["treated", "held_campaign", "held_global"]

GLOBAL = "holdout"
"""One experiment for the whole workspace: the same people in every campaign."""


class Held(Protocol):
    """What a plan says about control groups."""

    @property
    def holdout(self) -> int: ...
    @property
    def global_holdout(self) -> bool: ...


def campaign_holdout(campaign: str) -> str:
    """The experiment by which a campaign's own control group is drawn; no step can have this id."""
    return f"{campaign}/@holdout"


def role_for(campaign: str, plan: Held, global_share: int, h31: int) -> Role:
    """The role of one contact: what `role_of` answers for its row."""
    if plan.global_holdout and bucket(GLOBAL, h31) < global_share:
        return "held_global"
    return "held_campaign" if bucket(campaign_holdout(campaign), h31) < plan.holdout else "treated"


def role_of(campaign: str, plan: Held, global_share: int, h31: Column) -> Column:
    """`held_global`, `held_campaign` or `treated` of each row, by its `h31` column."""
    held = []
    if plan.global_holdout and global_share > 0:
        held.append((bucket_sql(GLOBAL, h31) < global_share, sa.literal("held_global")))
    if plan.holdout > 0:
        held.append((bucket_sql(campaign_holdout(campaign), h31) < plan.holdout, sa.literal("held_campaign")))
    return sa.case(*held, else_=sa.literal("treated")) if held else sa.literal("treated")
