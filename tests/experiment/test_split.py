from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from scipy.special import chdtrc

from carillon.experiment.buckets import bucket_sql, buckets, wave_bucket
from carillon.experiment.holdout import role_for, role_of
from carillon.experiment.split import arm_for, arm_in, arm_of, even_arms, is_in_sample, sample_name
from carillon.kernel.ids import bucket, h31
from carillon.store.engine import Store

IDS = np.array([h31(str(n)) for n in range(1, 64_001)], dtype=np.int64)
"""The 64,000 customers of Hillstrom's file, by their row number."""


@dataclass(frozen=True)
class HoldoutPlan:
    holdout: int
    global_holdout: bool = True


def p_uniform(counts: Any) -> float:
    expected = counts.sum() / counts.size
    return float(chdtrc(counts.size - 1, ((counts - expected) ** 2 / expected).sum()))


def p_independent(one: Any, other: Any) -> float:
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(chdtrc((table.shape[0] - 1) * (table.shape[1] - 1), ((table - expected) ** 2 / expected).sum()))


def ask(store: Store, *expressions: Any, n: int = 500) -> list[tuple[Any, ...]]:
    values = sa.values(sa.column("h31", sa.BigInteger), sa.column("wave", sa.BigInteger))
    asked = values.data([(int(h), wave) for wave, h in enumerate(IDS[:n])]).cte("asked")
    select = sa.select(*(e(asked.c.h31, asked.c.wave) for e in expressions)).select_from(asked).order_by(asked.c.wave)
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(select)]


def test_buckets_are_pinned_for_ever() -> None:
    """A release that changes one of these reassigns every contact of every running test."""
    assert [h31(i) for i in ("1", "64000", "ada")] == [1301358644, 1282370129, 991331261]
    assert [bucket("spring_sale/email.sale", h31(i)) for i in ("1", "64000", "ada")] == [7040, 1707, 6240]
    assert [wave_bucket("spring_sale/email.sale", w, h31("ada")) for w in (1, 2, 3)] == [8429, 4265, 6454]


def test_sql_numpy_and_python_agree(store: Store) -> None:
    """The bucket, the arm, the sample and the role of 500 contacts are the same everywhere."""
    plan = HoldoutPlan(1_000)
    arms = (("a", 5_000), ("b", 3_000), ("c", 2_000))
    answers = ask(
        store,
        lambda h, _w: bucket_sql("x/y", h),
        lambda h, w: bucket_sql("x/y", h, w),
        lambda h, _w: arm_of("x/y", arms, h),
        lambda h, w: arm_of("x/y", arms, h, w),
        lambda h, w: is_in_sample("x/y", w, 2_500, h),
        lambda h, _w: role_of("x", plan, 500, h),
    )
    for wave, (h, row) in enumerate(zip(IDS[:500].tolist(), answers, strict=True)):
        assert row == (
            bucket("x/y", h),
            wave_bucket("x/y", wave, h),
            arm_for("x/y", arms, h),
            arm_for("x/y", arms, h, wave),
            wave_bucket(sample_name("x/y"), wave, h) < 2_500,
            role_for("x", plan, 500, h),
        )
    assert buckets("x/y", IDS[:500]).tolist() == [row[0] for row in answers]


def test_big_wave_numbers_do_not_overflow(store: Store) -> None:
    """The largest residue times the largest wave stays within 64 bits on both stores."""
    largest = 2**31 - 2
    with store.read() as connection:
        found = connection.scalar(
            sa.select(
                bucket_sql("x", sa.literal(largest, sa.BigInteger), sa.literal(2**31 - 2, sa.BigInteger)),
            )
        )
    assert found == wave_bucket("x", 2**31 - 2, largest)


@pytest.mark.parametrize("experiment", ["spring_sale/email.sale", "holdout", "spring_sale/@holdout", "x"])
def test_buckets_of_real_ids_are_uniform(experiment: str) -> None:
    """Chi² of 64,000 numbered ids over 100 ranges."""
    assert p_uniform(np.bincount(buckets(experiment, IDS) // 100, minlength=100)) > 0.001


@pytest.mark.parametrize(
    "one, other",
    [
        ("holdout", "a/@holdout"),
        ("a/@holdout", "b/@holdout"),
        ("a/split", "a/split/sample"),
        ("a/email.x", "a/email.y"),
    ],
)
def test_experiments_are_independent(one: str, other: str) -> None:
    """Who is where in one experiment says nothing about another."""
    assert p_independent(buckets(one, IDS) // 500, buckets(other, IDS) // 500) > 0.001


def test_waves_are_independent() -> None:
    """A recurring campaign draws a fresh sample each time: neither the same people nor the others."""
    drawn = [np.array([wave_bucket("digest/sample", wave, h) for h in IDS[:20_000].tolist()]) for wave in (1, 2, 7)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert p_independent(drawn[one] // 1_000, drawn[other] // 1_000) > 0.001
    assert all(p_uniform(np.bincount(d // 100, minlength=100)) > 0.001 for d in drawn)


def test_equal_shares_where_none_is_written() -> None:
    """Three arms share 10,000 buckets; the odd one goes to the first."""
    assert even_arms(["a", "b", "c"]) == (("a", 3_334), ("b", 3_333), ("c", 3_333))
    assert even_arms(["a"]) == (("a", 10_000),)


def test_a_growing_share_moves_only_the_difference() -> None:
    """From 50:50 to 60:40 a tenth goes from b to a and nobody the other way."""
    before, after = (("a", 5_000), ("b", 5_000)), (("a", 6_000), ("b", 4_000))
    moves = Counter((arm_in(before, n), arm_in(after, n)) for n in range(10_000))
    assert moves == {("a", "a"): 5_000, ("b", "b"): 4_000, ("b", "a"): 1_000}


def test_an_arm_without_a_share_gets_nobody_and_the_last_gets_the_rest() -> None:
    """Shares that do not reach 10,000 leave no bucket without an arm; more than that is refused."""
    assert Counter(arm_in((("a", 0), ("b", 3_333), ("c", 3_333)), n) for n in range(10_000)) == {"b": 3_333, "c": 6_667}
    for wrong in ((), (("a", 0),), (("a", 9_000), ("b", 2_000))):
        with pytest.raises(ValueError, match="shares"):
            arm_in(wrong, 0)


def test_holdouts_hold_their_share_and_the_global_one_comes_first() -> None:
    """5 % global, then 10 % of the campaign's: 9.5 % of all, as independent draws give."""
    roles = Counter(role_for("spring_sale", HoldoutPlan(1_000), 500, h) for h in IDS.tolist())
    assert roles == {"treated": 54660, "held_campaign": 6059, "held_global": 3281}
    assert {role_for("x", HoldoutPlan(0, global_holdout=False), 500, h) for h in IDS[:999].tolist()} == {"treated"}
    assert str(role_of("x", HoldoutPlan(0), 0, sa.column("h31", sa.BigInteger)).compile()) == ":param_1"
