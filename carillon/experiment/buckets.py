"""Buckets: a keyed hash of (experiment, contact) in [0, 10,000), the same in Python, numpy and SQL.

Where fresh samples are drawn each time, the wave turns the buckets anew: the contact's second hash is added as often as
the wave's number says, so that two waves are independent of one another and SQL needs no name per wave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from carillon.kernel.ids import BUCKETS, P31, salt

if TYPE_CHECKING:  # the arithmetic is Python's own: a run need not load numpy for a type
    import numpy as np
    import numpy.typing as npt

Column = sa.ColumnElement[Any]


def wave_bucket(experiment: str, wave_id: int, h31: int) -> int:
    """The bucket of a contact in one wave of an experiment that draws anew each time."""
    return ((_residue(experiment, h31) + wave_id % P31 * _residue(_turn(experiment), h31)) % P31) % BUCKETS


def buckets(experiment: str, h31: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The buckets of many contacts at once (numpy)."""
    s = salt(experiment)
    return (h31 * s.a + s.b) % P31 % BUCKETS


def bucket_sql(experiment: str, h31: Column, wave_id: Column | None = None) -> Column:
    """The bucket of each row, by its `h31` column; in one wave if `wave_id` is given."""
    residue = _residue_sql(experiment, h31)
    if wave_id is not None:
        residue = (residue + wave_id % _number(P31) * _residue_sql(_turn(experiment), h31)) % _number(P31)
    return residue % _number(BUCKETS)


def _turn(experiment: str) -> str:
    return f"{experiment}/wave"


def _residue(experiment: str, h31: int) -> int:
    s = salt(experiment)
    return (h31 * s.a + s.b) % P31


def _residue_sql(experiment: str, h31: Column) -> Column:
    s = salt(experiment)
    return (h31 * _number(s.a) + _number(s.b)) % _number(P31)


def _number(value: int) -> Column:
    """Written out and 64 bits wide: a product of two residues leaves 32 bits."""
    return sa.cast(sa.literal_column(str(value)), sa.BigInteger)
