"""The two dialects in which messages are written: Liquid that escapes for HTML, and Liquid that does not.

Both refuse what is missing, know our own tags (`skip`, `carried`) and filters (`money`, `date`), and are bounded: loops,
output and names have limits (ranges, which escape them, are looked at by `names.check_ranges`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from html import unescape
from io import StringIO
from typing import TextIO

from dateutil import parser as date_parser
from liquid import BoundTemplate, Environment, FalsyStrictUndefined, Node, RenderContext, Tag, TokenStream
from liquid import is_undefined as is_missing
from liquid.ast import BlockNode
from liquid.builtin.expressions import parse_primitive, tokenize
from liquid.exceptions import FilterArgumentError, LiquidError, LiquidTypeError, UndefinedError
from liquid.expression import Expression
from liquid.extra import add_filters
from liquid.filter import with_context
from liquid.parser import get_parser
from liquid.stringify import to_liquid_string
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token

MOST_ROUNDS = 1_000
"""Most rounds of a loop (nested ones multiply), and the longest range."""

MOST_CHARACTERS = 500_000
MOST_NAMES = 200_000

NOW = "now"
CARRY = "carry"
"""Names in the context that no template can name by accident: they hold the batch's instant and the writer of links."""


class SkipMessage(Exception):
    """A template said `{% skip "reason" %}`: a decision, not a failure."""


class Dialect(Environment):
    """Liquid with our limits. Use `html_dialect()` or `plain_dialect()`."""

    loop_iteration_limit = MOST_ROUNDS
    output_stream_limit = MOST_CHARACTERS
    local_namespace_limit = MOST_NAMES


@lru_cache
def html_dialect() -> Dialect:
    """Liquid for HTML: every value is escaped unless marked `safe`."""
    return _dialect(autoescape=True)


@lru_cache
def plain_dialect() -> Dialect:
    """Liquid for subjects, plain parts and SMS: values stand as they are."""
    return _dialect(autoescape=False)


def _dialect(autoescape: bool) -> Dialect:
    dialect = Dialect(autoescape=autoescape, undefined=FalsyStrictUndefined)
    add_filters(dialect)
    for name in ("t", "gettext", "ngettext", "pgettext", "npgettext", "script_tag", "stylesheet_tag"):
        dialect.filters.pop(name, None)
    dialect.add_filter("money", money)
    dialect.add_filter("date", format_date)
    for tag in ("include", "render", "extends", "liquid"):
        dialect.tags.pop(tag, None)
    dialect.add_tag(SkipTag)
    dialect.add_tag(CarriedTag)
    return dialect


def parse(dialect: Dialect, source: str) -> BoundTemplate:
    """The parsed template; raises LiquidError with a token that has its place in `source`."""
    return dialect.from_string(source)


def reason_of(error: LiquidError) -> str:
    """Why a template could not be rendered for somebody, in one line."""
    message = str(error.message or type(error).__name__).replace("'", "")
    if isinstance(error, UndefinedError):
        return message.replace(" is undefined", " is missing")
    return message


# ---------------------------------------------------------------- filters


def _present(value: object) -> object:
    if is_missing(value):
        str(value)  # a missing value refuses to be text, and names itself in the error
    return value


@with_context
def money(value: object, currency: object = None, *, context: RenderContext) -> str:
    """`1.234,50 €` in the message's language and the workspace's currency, or in the one that is said, unconverted; what
    is no amount or no currency is an error, never 0."""
    from babel.numbers import format_currency

    amount = _amount(_present(value))
    code = context.resolve("currency", default="EUR") if currency is None else _currency(_present(currency))
    return str(format_currency(amount, code, locale=context.resolve("locale", default="en")))


def _currency(value: object) -> str:
    code = str(value).upper()
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise FilterArgumentError(f"money: {value!r} is no currency", token=None)
    return code


def _amount(value: object) -> Decimal:
    try:
        if isinstance(value, bool) or value is None:
            raise InvalidOperation
        amount = Decimal(str(value))
    except InvalidOperation:
        raise FilterArgumentError(f"money: {value!r} is no amount", token=None) from None
    if not amount.is_finite():
        raise FilterArgumentError(f"money: {value!r} is no amount", token=None)
    return amount


@with_context
def format_date(value: object, pattern: str, *, context: RenderContext) -> str:
    """`strftime` with names of days and months in the message's language; `now` is the batch's instant."""
    moment = _moment(_present(value), context)
    return moment.strftime(_localised(str(pattern), moment, str(context.resolve("locale", default="en"))))


def _moment(value: object, context: RenderContext) -> datetime:
    if value in ("now", "today"):
        # The machine's clock would make two renderings of one message differ.
        found = context.globals[NOW]
        assert isinstance(found, datetime)
        return found
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    try:
        return date_parser.isoparse(str(value))
    except ValueError:
        raise FilterArgumentError(f"date: {str(value)!r} is no date", token=None) from None


_NAMES = {"%A": "EEEE", "%a": "EEE", "%B": "MMMM", "%b": "MMM"}


def _localised(pattern: str, moment: datetime, locale: str) -> str:
    from babel.dates import format_date as babel_date

    for directive, name in _NAMES.items():
        if directive in pattern:
            pattern = pattern.replace(directive, babel_date(moment, name, locale=locale).replace("%", "%%"))
    return pattern


# ---------------------------------------------------------------- tags


class SkipNode(Node):
    """`{% skip "out of stock" %}` withholds this one message with that reason."""

    __slots__ = ("reason",)

    def __init__(self, token: Token, reason: Expression):
        super().__init__(token)
        self.reason = reason
        self.blank = False

    def __str__(self) -> str:
        return f"{{% skip {self.reason} %}}"

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        raise SkipMessage(to_liquid_string(self.reason.evaluate(context), autoescape=False))

    def expressions(self) -> Iterable[Expression]:
        yield self.reason


class SkipTag(Tag):
    name = "skip"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        expression = stream.expect(TOKEN_EXPRESSION)
        return SkipNode(token, parse_primitive(self.env, TokenStream(tokenize(expression.value, expression))))


class CarriedNode(Node):
    """`{% carried 3 %}https://…{{ x }}{% endcarried %}`: link slot 3 with the target that this person has."""

    __slots__ = ("block", "n")

    def __init__(self, token: Token, n: int, block: BlockNode):
        super().__init__(token)
        self.n = n
        self.block = block
        self.blank = False

    def __str__(self) -> str:
        return f"{{% carried {self.n} %}}{self.block}{{% endcarried %}}"

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        target = StringIO()
        self.block.render(context, target)
        url = unescape(target.getvalue()) if context.autoescape else target.getvalue()
        write: Callable[[int, str], str] = context.globals[CARRY]  # type: ignore[assignment]
        try:
            return buffer.write(write(self.n, url))
        except ValueError as error:
            raise LiquidTypeError(str(error), token=self.token) from None

    def children(self, static_context: RenderContext, *, include_partials: bool = True) -> Iterable[Node]:
        yield self.block


class CarriedTag(Tag):
    name = "carried"
    end = "endcarried"

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        n = int(stream.eat(TOKEN_EXPRESSION).value)
        block = get_parser(self.env).parse_block(stream, frozenset((self.end,)))
        stream.expect(TOKEN_TAG, value=self.end)
        return CarriedNode(token, n, block)
