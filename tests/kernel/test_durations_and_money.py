"""Durations and money as marketers write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carillon.kernel.durations import Span, format_span, parse_offset, parse_span
from carillon.kernel.money import format_cents, parse_amount, parse_cents, round_cents


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", Span(seconds=90)), ("15min", Span(seconds=900)), ("6h", Span(seconds=21_600)), ("3 d", Span(seconds=259_200)),
        ("2w", Span(seconds=1_209_600)), ("6mo", Span(months=6)), ("1y", Span(months=12)),
    ],
)  # fmt: skip
def test_a_duration_is_exact_seconds_or_months(text: str, span: Span) -> None:
    """`mo` and `y` are calendar, all others exact."""
    assert parse_span(text) == span


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5m", '"m" could be minutes or months: write 5min or 5mo'),
        ("5 days", 'no unit "days": durations end in s, min, h, d, w, mo or y'),
        ("soon", "a duration is a number and a unit: 90s, 15min, 6h, 3d, 2w, 6mo or 1y"),
        ("1.5h", "a duration is a number and a unit: 90s, 15min, 6h, 3d, 2w, 6mo or 1y"),
        ("999y", "longer than a hundred years"),
    ],
)
def test_a_wrong_duration_says_what_to_write(text: str, said: str) -> None:
    """The sentence is for the marketer."""
    with pytest.raises(ValueError) as caught:
        parse_span(text)
    assert str(caught.value) == said


@given(st.integers(0, 999_999_999) | st.none(), st.integers(1, 1_200))
def test_what_is_written_is_read_again(seconds: int | None, months: int) -> None:
    """Formatting and parsing agree."""
    span = Span(months=months) if seconds is None else Span(seconds=seconds)
    assert parse_span(format_span(span)) == span


def test_an_offset_may_point_back() -> None:
    """`-7d` is seven days before."""
    assert parse_offset("-7d") == Span(seconds=-604_800)
    assert parse_offset("+1mo") == Span(months=1)


def test_money_is_cents() -> None:
    """Exact, and refused where it has fractions of a cent."""
    assert parse_cents("19.90") == 1_990
    assert parse_amount("0.0004") == Decimal("0.0004")
    with pytest.raises(ValueError, match="two digits"):
        parse_cents("19.905")
    with pytest.raises(ValueError, match="digits with a point"):
        parse_cents("1,000")
    assert [round_cents(Decimal(text)) for text in ("0.005", "0.015", "-0.005")] == [0, 2, 0]
    assert format_cents(-1_234_560, "EUR") == "-12,345.60 EUR"
