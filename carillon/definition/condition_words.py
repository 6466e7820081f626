"""The words of conditions, as written; `conditions_built` types them by data.yaml."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, WithJsonSchema

from carillon.definition.nodes import Text
from carillon.definition.scalars import Choice, Duration, Line, NewName, Path, Ref, Scalar, parse_number, whole
from carillon.definition.words import Headed, ListMeans, OneOrMany, Words

Ops = Literal[
    "is", "is_not", "in", "not_in", "over", "at_least", "under", "at_most", "between", "contains", "not_contains",
    "starts_with", "ends_with", "exists", "before", "after", "in_last", "in_next", "anniversary",
]  # fmt: skip

_ONE = {"type": ["string", "number", "boolean"]}
_OPS_SCHEMA: dict[str, Any] = {op: {} for op in get_args(Ops)}
Tested = Annotated[
    Any,
    WithJsonSchema({"anyOf": [_ONE, {"type": "array", "items": _ONE}, {"type": "object", "properties": _OPS_SCHEMA}]}),
]
"""A plain value, a list of them or operators: only the field's type knows what is right."""

Loose = Annotated[Any, WithJsonSchema({})]
"""A word whose engine comes with the last issue: any shape is read."""

WhereWords = dict[Path, Tested]
SameWords = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}),
]

ChannelWord = Annotated[Literal["email", "sms", "push", "whatsapp"], Choice()]
SegmentRef = Annotated[Text, Ref("segment", "the name of a segment")]
EventRef = Annotated[Text, Ref("event", "the name of an event")]
CampaignRef = Annotated[Text, Ref("campaign", "the name of a campaign")]
TopicRef = Annotated[Text, Ref("topic", "the name of a topic")]
StepRef = Annotated[Text, Ref("step", "a step or message of this journey")]
PoolRef = Annotated[Text, Ref("coupon", "the name of a coupon pool")]


class CompareWords(Words):
    """A bound: `{at_least: 2}`."""

    part: ClassVar[str] = "compare"
    is_: Annotated[float | None, Scalar(parse_number, "a number")] = Field(None, alias="is")
    over: Annotated[float | None, Scalar(parse_number, "a number")] = None
    at_least: Annotated[float | None, Scalar(parse_number, "a number")] = None
    under: Annotated[float | None, Scalar(parse_number, "a number")] = None
    at_most: Annotated[float | None, Scalar(parse_number, "a number")] = None
    between: list[Annotated[float, Scalar(parse_number, "a number")]] | None = None


class SumWords(CompareWords):
    """`{of: total, over: 100}`."""

    of: Path


Count = Annotated[Any, WithJsonSchema({"anyOf": [{"type": ["integer", "string"]}, {"type": "object"}]})]


class ConditionBase(Words):
    part: ClassVar[str] = "condition"


class AllWords(ConditionBase):
    """All of these hold."""

    heads: ClassVar[tuple[str, ...]] = ("all",)
    all: Annotated[list[ConditionWords], OneOrMany()]


class AnyWords(ConditionBase):
    """One of these holds."""

    heads: ClassVar[tuple[str, ...]] = ("any",)
    any: Annotated[list[ConditionWords], OneOrMany()]


class NotWords(ConditionBase):
    """This does not hold."""

    heads: ClassVar[tuple[str, ...]] = ("not",)
    not_: ConditionWords = Field(alias="not")


class ContactWords(ConditionBase):
    """Fields of the contact: `{country: [DE, FR], age: {over: 17}}`."""

    heads: ClassVar[tuple[str, ...]] = ("contact",)
    contact: WhereWords


class EventWords(ConditionBase):
    """How often an event happened, or what it added up to."""

    heads: ClassVar[tuple[str, ...]] = ("event",)
    event: EventRef
    in_last: Duration | None = None
    since: StepRef | None = None
    count: Count = None
    sum: SumWords | None = None
    where: WhereWords | None = None
    same: SameWords = None


class SegmentWords(ConditionBase):
    """In a segment of `segments/`."""

    heads: ClassVar[tuple[str, ...]] = ("segment",)
    segment: SegmentRef


class ListWords(ConditionBase):
    """On an imported list."""

    heads: ClassVar[tuple[str, ...]] = ("list",)
    list: NewName


class ResponseOfWords(Words):
    """What was received, opened or clicked, anywhere: `{channel: email, in_last: 120d}`."""

    part: ClassVar[str] = "response"
    campaign: CampaignRef | None = None
    channel: ChannelWord | None = None
    topic: TopicRef | None = None
    in_last: Duration | None = None
    count: Count = None


ResponseOf = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "x-names": "step"},
                {
                    "type": "object",
                    "properties": {
                        "campaign": {"type": "string", "x-names": "campaign"},
                        "channel": {"enum": ["email", "sms", "push", "whatsapp"]},
                        "topic": {"type": "string", "x-names": "topic"},
                        "in_last": {"type": "string"},
                        "count": {},
                    },
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class ReceivedWords(ConditionBase):
    """A step or message of this journey, `any`, or `{campaign|channel|topic: …, in_last, count}`."""

    heads: ClassVar[tuple[str, ...]] = ("received", "opened", "clicked")
    received: ResponseOf = None
    opened: ResponseOf = None
    clicked: ResponseOf = None
    in_last: Duration | None = None
    count: Count = None


class ReachableWords(ConditionBase):
    """Has an address on the channel, consent and no suppression."""

    heads: ClassVar[tuple[str, ...]] = ("reachable",)
    reachable: ChannelWord


class ConsentWords(ConditionBase):
    """Consent stands on the channel, for the campaign's topic or the one named."""

    heads: ClassVar[tuple[str, ...]] = ("consent",)
    consent: ChannelWord
    topic: TopicRef | None = None


class EnrolledInWords(ConditionBase):
    """Is under way in a campaign, or entered one in the last time."""

    heads: ClassVar[tuple[str, ...]] = ("enrolled_in",)
    enrolled_in: Annotated[list[CampaignRef], OneOrMany()]
    in_last: Duration | None = None


class TriggerWords(ConditionBase):
    """The newest event of the enrolment's thing."""

    heads: ClassVar[tuple[str, ...]] = ("trigger",)
    trigger: WhereWords


class AnswerWords(ConditionBase):
    """The event that ended the last `wait_for`."""

    heads: ClassVar[tuple[str, ...]] = ("answer",)
    answer: WhereWords


class CouponWords(ConditionBase):
    """What became of a code that the contact was given."""

    heads: ClassVar[tuple[str, ...]] = ("coupon",)
    coupon: PoolRef
    is_: Annotated[Literal["unused", "redeemed", "expired"], Choice()] = Field(alias="is")


class SqlWords(ConditionBase):
    """For analysts: an expression over the columns of `core.contact`, or a query that yields ids of contacts."""

    heads: ClassVar[tuple[str, ...]] = ("sql",)
    sql: Line


class PeopleWords(ConditionBase):
    """Figures about people that come with the last issue."""

    heads: ClassVar[tuple[str, ...]] = (
        "lifecycle", "mark", "rfm", "churn_risk", "predicted_value", "next_order", "score", "points", "tier",
    )  # fmt: skip
    lifecycle: Loose = None
    mark: Loose = None
    rfm: Loose = None
    churn_risk: Loose = None
    predicted_value: Loose = None
    next_order: Loose = None
    score: Loose = None
    points: Loose = None
    tier: Loose = None


ConditionWords = Annotated[
    AllWords | AnyWords | NotWords | ContactWords | EventWords | SegmentWords | ListWords | ReceivedWords
    | ReachableWords | ConsentWords | EnrolledInWords | TriggerWords | AnswerWords | CouponWords | SqlWords
    | PeopleWords,
    Headed("condition"),
    ListMeans("all"),
]  # fmt: skip


class AudienceWords(Words):
    """Who may enter: one condition, and who is left out."""

    part: ClassVar[str] = "audience"
    everyone: Annotated[Literal["everyone"], Choice()] | None = None
    who: ConditionWords | None = None
    exclude: Annotated[list[ConditionWords], OneOrMany()] | None = None
    top: TopWords | None = None


class TopWords(Words):
    """Only so many, by a field or figure."""

    part: ClassVar[str] = "top"
    count: Annotated[int, whole(1, 100_000_000, "how many")]
    by: Path
