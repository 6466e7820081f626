"""Money: integer cents in the store, decimals only where a price is less than a cent."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

_PLAIN = re.compile(r"-?\d{1,15}(\.\d{1,9})?")

MONEY_PATTERN = r"^-?\d{1,15}(\.\d{1,9})?$"
"""For JSON Schema."""


def parse_amount(text: str) -> Decimal:
    """The amount that `text` says, exactly; raises ValueError with a sentence for the marketer."""
    if _PLAIN.fullmatch(text) is None:
        raise ValueError("an amount of money is digits with a point: 20, 19.90 or 0.0004")
    return Decimal(text)


def parse_cents(text: str) -> int:
    """The amount in cents; raises ValueError where it has fractions of a cent."""
    cents = parse_amount(text) * 100
    if cents != cents.to_integral_value():
        raise ValueError("an amount has at most two digits after the point: 19.90")
    return int(cents)


def round_cents(amount: Decimal) -> int:
    """The nearest cent, halves to the even one, so that sums do not drift."""
    return int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def format_cents(cents: int, currency: str = "") -> str:
    """`12,345.60 EUR` for 1234560 cents."""
    sign, whole = ("-" if cents < 0 else ""), abs(cents)
    return f"{sign}{whole // 100:,}.{whole % 100:02d}" + (f" {currency}" if currency else "")
