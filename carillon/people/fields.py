"""Values as data.yaml types them: one reader a type, from whatever a file or a request holds to what the store keeps.

A reader gets a value that is not blank and raises ValueError with a sentence. How a type stands in the store: `store/json.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, assert_never

import orjson

from carillon.definition.model import Field
from carillon.kernel.problems import did_you_mean
from carillon.people.addresses import country_code, email_key, language_tag, phone_key
from carillon.people.instants import day_text, instant_reader

Reader = Callable[[Any], Any]

_YES = frozenset({"true", "yes", "y", "1", "t", "on"})
_NO = frozenset({"false", "no", "n", "0", "f", "off"})
_PLAIN_AMOUNTS = re.compile(r"(?:[0-9]{1,15}\.[0-9]{2}\n)*")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source writes what has more than one spelling."""

    zone: str
    """The clock of times without an offset."""
    dates: str | None = None
    """strptime's pattern; None = ISO 8601 or epoch."""
    decimal_comma: bool = False
    country: str | None = None
    """Of telephone numbers in properties, which have no contact's country beside them."""


def reader_of(field: Field, how: Reading) -> Reader:
    """The reader of a declared field."""
    match field.type:
        case "word":
            return word
        case "number":
            return number_with_comma if how.decimal_comma else number
        case "money":
            return cents_with_comma if how.decimal_comma else cents
        case "flag":
            return flag
        case "date":
            return lambda value: day_text(value, how.dates)
        case "instant":
            return instant_reader(how.zone, how.dates)
        case "email":
            return lambda value: email_key(word(value))
        case "phone":
            return lambda value: phone_key(word(value), how.country)[0]
        case "country":
            return lambda value: country_code(word(value))
        case "language":
            return lambda value: language_tag(word(value))
        case "one_of":
            return one_of(field.options)
        case "list":
            return things_reader(field.things, how) if field.things else texts
        case _:
            assert_never(field.type)


def currency_of(currencies: Sequence[str]) -> Reader:
    """Which of these the money is in, None for the first, the workspace's own."""

    def read(value: Any) -> str | None:
        code = word(value).upper()
        if code not in currencies:
            raise ValueError(f"no rate for {_shown(code)}; give it one in workspace.yaml: rates: {{{code}: …}}")
        return None if code == currencies[0] else code

    return read


def is_blank(value: Any) -> bool:
    """Nothing was told: an empty cell, null, or Parquet's NaN."""
    return value is None or value == "" or value != value


def word(value: Any) -> str:
    """Text, trimmed; a whole number that a spreadsheet made a fraction (17850.0) is its digits."""
    match value:
        case str():
            if "\0" in value:  # PostgreSQL keeps none
                raise ValueError("a character NUL stands in it")
            return value.strip()
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case int() | float() | Decimal():
            return str(value)
        case _:
            raise ValueError(f"no word: {_shown(value)}")


def words(texts: list[str]) -> list[str]:
    """`word` of a whole column of texts: a fifth of the time."""
    if "\0" in "".join(texts):
        raise ValueError("a character NUL stands in one")
    return list(map(str.strip, texts))


def number(value: Any) -> int | float:
    """A number, whole where it is whole."""
    try:
        found = int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"no number: {_shown(value)}") from None
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError(f"no number: {_shown(value)}")
    return int(found) if isinstance(value, int) else found


def number_with_comma(value: Any) -> int | float:
    """`1.234,5` is 1234.5."""
    return number(_with_point(value))


@lru_cache(maxsize=65_536)
def _text_cents(text: str) -> int:
    amount = text.strip()
    whole, _, fraction = amount.partition(".")
    if whole.isdigit() and (not fraction or (len(fraction) == 2 and fraction.isdigit())) and len(whole) < 16:
        return int(whole) * 100 + int(fraction or 0)
    try:
        return exact_cents(Decimal(amount))
    except InvalidOperation:
        raise ValueError(f"no amount of money: {_shown(text)} (write 19.90, or --decimal-comma for 19,90)") from None


def cents(value: Any) -> int:
    """An amount of money in cents, exactly; negative for a refund."""
    match value:
        case str():
            return _text_cents(value)
        case bool():
            raise ValueError(f"no amount of money: {_shown(value)}")
        case int() | Decimal():
            return exact_cents(Decimal(value))
        case float():
            return exact_cents(Decimal(repr(value)))
        case _:
            raise ValueError(f"no amount of money: {_shown(value)}")


def amounts(texts: list[str]) -> list[int]:
    """`cents` of a whole column of texts: where all are written 19.90, a sixth of the time."""
    column = "\n".join(texts) + "\n"
    if column.count("\n") == len(texts) and _PLAIN_AMOUNTS.fullmatch(column):
        return list(map(int, column.replace(".", "").split()))
    return list(map(_text_cents, texts))


def cents_with_comma(value: Any) -> int:
    """`1.234,50` is 123450 cents."""
    return cents(_with_point(value))


def exact_cents(amount: Decimal) -> int:
    """The amount in cents; raises ValueError where it has fractions of a cent or is beyond all shops."""
    if not amount.is_finite() or abs(amount) >= 10**15:
        raise ValueError(f"no amount of money: {amount}")
    scaled = amount * 100
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} has fractions of a cent")
    return int(scaled)


def flag(value: Any) -> bool:
    """Yes or no."""
    text = word(value).lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise ValueError(f"neither yes nor no: {_shown(value)}")


def one_of(options: Sequence[str]) -> Reader:
    """One of these words."""
    known = frozenset(options)

    def read(value: Any) -> str:
        text = word(value)
        if text not in known:
            raise ValueError(f"{_shown(text)} is none of its words; {did_you_mean(text, options)}")
        return text

    return read


def texts(value: Any) -> list[str]:
    """A list of words: a JSON array, or words with commas between them."""
    if isinstance(value, str):
        stripped = value.strip()
        value = _json(stripped) if stripped.startswith("[") else [part for part in stripped.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(f"no list: {_shown(value)}")
    return [word(item) for item in value]


def things_reader(things: Mapping[str, Field], how: Reading) -> Reader:
    """A list of things; what is not declared of a thing is left out, because nothing can ask for it."""
    readers = {name: reader_of(field, how) for name, field in things.items()}

    def read(value: Any) -> list[dict[str, Any]]:
        lines = _json(value) if isinstance(value, str) else value
        if not isinstance(lines, list | tuple) or not all(isinstance(line, Mapping) for line in lines):
            raise ValueError(f"no list of things: {_shown(value)}")
        return [
            {name: read_one(line[name]) for name, read_one in readers.items() if not is_blank(line.get(name))}
            for line in lines
        ]

    return read


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None


def _with_point(value: Any) -> Any:
    return value.replace(".", "").replace(",", ".") if isinstance(value, str) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


WHOLE: Mapping[Reader, Callable[[list[str]], list[Any]]] = {word: words, cents: amounts}
"""Readers that can take a whole column of texts, none of them blank, at once; refuses all where one cannot be read."""
