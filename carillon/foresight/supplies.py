"""What the plan screen says of coupons: how many codes are left, how long they are good, and whether they suffice."""

from __future__ import annotations

from collections.abc import Iterator

from carillon.foresight.outlook import Outlook
from carillon.kernel.counting import counted, people, verb
from carillon.plan.rules import Rules
from carillon.policy.words import SkipReason


def coupon_lines(rules: Rules, outlook: Outlook) -> Iterator[str]:
    """A line a pool."""
    for supply in outlook.supplies:
        rule = rules.coupons.get(supply.pool)
        good = "for ever" if rule is None or rule.valid_for is None else f"for {rule.valid_for} from the decision on"
        yield f"{supply.pool}: {counted(supply.left, 'code')} left, each good {good}"


def low_supplies(outlook: Outlook) -> Iterator[str]:
    """Who would get no code, and which pools are low by what they have now."""
    for first in outlook.first_messages:
        if n := first.skipped.get(SkipReason.NO_COUPON, 0):
            yield f"{first.label}: {people(n)} would get nothing, because the codes do not suffice"
    for supply in outlook.supplies:
        if supply.is_low:
            below = f", below {supply.low:,}" if supply.low else ""
            yield f"{counted(supply.left, 'code')} of {supply.pool} {verb(supply.left, 'are')} left{below}: carillon import coupons {supply.pool} FILE"
