"""The expression that says who: one closed union, read from YAML once, evaluated as SQL and by the plain reference.

Everything here is typed and resolved: fields carry their declared type, values are parsed (money in cents, dates as ISO
text, instants in microseconds, durations as `Span`), steps are step ids. `kind` is the tag for JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from carillon.kernel.durations import Span as Span

FieldType = Literal[
    "word", "number", "money", "flag", "date", "instant", "email", "phone", "country", "language", "list", "one_of"
]
"""The declared type of a contact field or of an event's property (data.yaml)."""

Op = Literal[
    "is", "is_not", "in", "not_in", "over", "at_least", "under", "at_most", "between", "contains", "not_contains",
    "starts_with", "ends_with", "exists", "before", "after", "in_last", "in_next", "anniversary",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ago:
    """An instant relative to now: `{before: 120d ago}`."""

    span: Span
    kind: Literal["ago"] = "ago"


Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | Span | Ago | None


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One comparison. A missing field fulfils `exists: false`, `is_not`, `not_in`, `not_contains` and nothing else.

    `value` by op: `in`/`not_in` a tuple; `between` a pair, both ends included; `in_last`/`in_next`/`anniversary` a Span;
    `before`/`after` an ISO date, an instant in microseconds or an Ago; `exists` a bool; else a scalar of `type`.
    Text compares exactly, but `contains`, `starts_with` and `ends_with` ignore case.
    """

    field: str
    type: FieldType
    op: Op
    value: Value
    kind: Literal["field"] = "field"


@dataclass(frozen=True, slots=True)
class ThingsTest:
    """A test on a list of things (`products: [{…}]`): one line of the list fulfils all of `tests`."""

    field: str
    tests: tuple[FieldTest, ...]
    kind: Literal["things"] = "things"


Where = tuple[FieldTest | ThingsTest, ...]


@dataclass(frozen=True, slots=True)
class Same:
    """`same: cart_id`: the event's field (a path such as `products.product_id` allowed) equals the trigger's."""

    field: str
    trigger_field: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A bound on a count or sum; `op` is one of is, over, at_least, under, at_most, between."""

    op: Op
    value: int | float | tuple[int | float, int | float]


AT_LEAST_ONE = Compare("at_least", 1)


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]
    kind: Literal["all"] = "all"


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]
    kind: Literal["any"] = "any"


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition
    kind: Literal["not"] = "not"


@dataclass(frozen=True, slots=True)
class ContactIs:
    """Tests on the contact's own fields; all must hold."""

    tests: Where
    kind: Literal["contact"] = "contact"


@dataclass(frozen=True, slots=True)
class HasEvent:
    """How often an event happened up to now (`count`), or what a property adds up to (`sum_of`, `sum`)."""

    event: str
    within: Span | None = None
    since: str | None = None
    """`entry` or a step id; None = no lower bound but `within`."""
    count: Compare = AT_LEAST_ONE
    sum_of: str | None = None
    sum: Compare | None = None
    where: Where = ()
    same: tuple[Same, ...] = ()
    kind: Literal["event"] = "event"


@dataclass(frozen=True, slots=True)
class Responded:
    """Received (sent or unsure, and not bounced), opened or clicked. Only people count, never machines.

    `of` says what `name` is: a `step` of this journey (asked of this enrolment), a `message` of this campaign (any of its
    steps, this enrolment), else anywhere: a `campaign`, `channel`, `topic`, or `any` (name empty).
    """

    what: Literal["received", "opened", "clicked"]
    of: Literal["step", "message", "campaign", "channel", "topic", "any"]
    name: str = ""
    within: Span | None = None
    count: Compare = AT_LEAST_ONE
    kind: Literal["responded"] = "responded"


@dataclass(frozen=True, slots=True)
class Reachable:
    """Has an address on the channel, consent under the campaign's topic, and no suppression."""

    channel: str
    kind: Literal["reachable"] = "reachable"


@dataclass(frozen=True, slots=True)
class Consented:
    """Consent stands for the channel under the campaign's topic (`topic` names another)."""

    channel: str
    topic: str | None = None
    kind: Literal["consent"] = "consent"


@dataclass(frozen=True, slots=True)
class InSegment:
    """A segment by name; `plan` puts its condition in its place, so no evaluator of an applied plan meets it."""

    name: str
    kind: Literal["segment"] = "segment"


@dataclass(frozen=True, slots=True)
class InList:
    """On a list that `carillon import list` made."""

    name: str
    kind: Literal["list"] = "list"


def told_of_list(name: str) -> str:
    """The field under which a change of the list is told of a contact; no declared field has a colon in its name."""
    return f"list:{name}"


@dataclass(frozen=True, slots=True)
class EnrolledIn:
    """Is under way in one of the campaigns, or (with `within`) entered one of them in that time."""

    campaigns: tuple[str, ...]
    within: Span | None = None
    kind: Literal["enrolled_in"] = "enrolled_in"


@dataclass(frozen=True, slots=True)
class TriggerIs:
    """Tests on the newest event of the enrolment's key."""

    tests: Where
    kind: Literal["trigger"] = "trigger"


@dataclass(frozen=True, slots=True)
class AnswerIs:
    """Tests on the event that ended the last `wait_for`."""

    tests: Where
    kind: Literal["answer"] = "answer"


@dataclass(frozen=True, slots=True)
class CouponIs:
    """What became of a code of the pool."""

    pool: str
    state: Literal["unused", "redeemed", "expired"]
    is_own: bool = False
    """The campaign gives codes of the pool: the enrolment's own is meant, where there is an enrolment."""
    kind: Literal["coupon"] = "coupon"


@dataclass(frozen=True, slots=True)
class Sql:
    """An analyst's SQL: an expression over the columns of `core.contact`, or a query that yields ids of contacts."""

    text: str
    place: str = field(default="", compare=False)
    """File and line, for whoever has to correct it; no part of what is asked."""
    kind: Literal["sql"] = "sql"


@dataclass(frozen=True, slots=True)
class Later:
    """A word of the language whose engine is not there yet: read and checked, refused by `check`, never evaluated."""

    word: str
    value: str
    kind: Literal["later"] = "later"


Condition = (
    All | AnyOf | Not | ContactIs | HasEvent | Responded | Reachable | Consented | InSegment | InList | EnrolledIn
    | TriggerIs | AnswerIs | CouponIs | Sql | Later
)  # fmt: skip

EVERYONE = All(())
"""The condition that holds for all contacts."""
