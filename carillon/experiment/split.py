"""Split: which arm a bucket belongs to.

Arms take contiguous ranges in the order written, from bucket 0 on; the last takes what is left. A share that grows takes
the buckets next to its end, so of two arms exactly the difference changes sides, and who is in a sample or a holdout
stays in it when that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import sqlalchemy as sa

from carillon.experiment.buckets import Column, bucket_sql, wave_bucket
from carillon.kernel.ids import BUCKETS, bucket

Arms = Sequence[tuple[str, int]]
"""(name, share in buckets of 10,000), in the order written."""

USUAL_SAMPLE = 2_000
"""`sample: auto` before there is history: a fifth."""


def even_arms(names: Sequence[str]) -> Arms:
    """The names with equal shares that make 10,000 together; the first get the odd buckets."""
    share, odd = divmod(BUCKETS, len(names))
    return tuple((name, share + (place < odd)) for place, name in enumerate(names))


def arm_in(arms: Arms, bucket_number: int) -> str:
    """The arm that a bucket belongs to."""
    return next(name for name, end in _ends(arms) if bucket_number < end)


def arm_for(experiment: str, arms: Arms, h31: int, wave_id: int | None = None) -> str:
    """The arm of one contact: what `arm_of` answers for its row."""
    number = bucket(experiment, h31) if wave_id is None else wave_bucket(experiment, wave_id, h31)
    return arm_in(arms, number)


def arm_of(experiment: str, arms: Arms, h31: Column, wave_id: Column | None = None) -> Column:
    """The arm of each row, by its `h31` column; drawn anew each wave if `wave_id` is given."""
    *ends, (last, _) = _ends(arms)
    if not ends:
        return sa.literal(last)
    number = bucket_sql(experiment, h31, wave_id)
    return sa.case(*((number < end, sa.literal(name)) for name, end in ends), else_=sa.literal(last))


def is_in_sample(experiment: str, wave_id: Column, sample: int | None, h31: Column) -> Column:
    """Is the row of the sample that is tested before the leader goes to the rest? Drawn anew each wave."""
    return bucket_sql(sample_name(experiment), h31, wave_id) < sample_share(sample)


def sample_share(sample: int | None) -> int:
    """The sample in buckets; None is `auto`."""
    return USUAL_SAMPLE if sample is None else sample


def sample_name(experiment: str) -> str:
    """The sample is drawn by an experiment of its own: a bucket range of the test's would hold few of its arms."""
    return f"{experiment}/sample"


def _ends(arms: Arms) -> list[tuple[str, int]]:
    """Each arm with the bucket before which it ends; arms without a share are left out."""
    shares = [(name, share) for name, share in arms if share > 0]
    total = sum(share for _, share in shares)
    if not shares or total > BUCKETS:
        raise ValueError(f"shares must be between 1 and {BUCKETS} buckets together, not {total}")
    ends = list(accumulate(share for _, share in shares))
    ends[-1] = BUCKETS
    return [(name, end) for (name, _), end in zip(shares, ends, strict=True)]
