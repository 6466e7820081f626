"""The words of workspace.yaml, data.yaml, values.yaml, segments and message files."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from carillon.definition.campaign_words import AttributionWords, BudgetWords, MessageRef, SenderRef
from carillon.definition.condition_words import ChannelWord, ConditionWords, Loose
from carillon.definition.nodes import Text
from carillon.definition.scalars import (
    Amount,
    Choice,
    ClockRange,
    Currency,
    Duration,
    From,
    Line,
    Local,
    Mailbox,
    NewName,
    Number,
    Path,
    Rate,
    Ref,
    Share,
    Url,
    Zone,
    whole,
)
from carillon.definition.words import OneOrMany, Words

SendingWord = Annotated[Literal["email", "sms", "push", "whatsapp", "webhook"], Choice()]


class SenderWords(Words):
    """Who writes: the connector, and the address or service."""

    part: ClassVar[str] = "sender"
    connector: Annotated[Text, Ref("connector", "the name of a connector")]
    from_: From | None = Field(None, alias="from")
    reply_to: Mailbox | None = None
    messaging_service: Line | None = None
    url: Url | None = None
    fields: Annotated[list[Path], OneOrMany()] | None = None


Titles = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]})
]


class TopicWords(Words):
    """What messages are about, and which consent each channel needs."""

    part: ClassVar[str] = "topic"
    kind: Annotated[Literal["marketing", "transactional"], Choice()]
    name: Titles
    consent: dict[ChannelWord, Annotated[Literal["explicit", "double", "assumed"], Choice()]] | None = None
    sender: SenderRef | None = None
    confirm: MessageRef | None = None


class KeepFreeWords(Words):
    """Slots kept for urgent campaigns."""

    part: ClassVar[str] = "keep_free"
    slots: Annotated[int, whole(1, 100, "how many")]
    priority: Annotated[int, whole(0, 100, "a priority from 0 to 100")]


class CapWords(Words):
    """The most messages per contact and period."""

    part: ClassVar[str] = "cap"
    channel: Annotated[Literal["email", "sms", "push", "whatsapp", "any"], Choice()] | None = None
    topic: Annotated[Text, Ref("topic", "the name of a topic")] | None = None
    max: Annotated[int, whole(0, 10_000, "how many")]
    per: Line
    when_full: Loose = None
    keep_free: KeepFreeWords | None = None


class WaitAtMostWords(Words):
    """`{wait_at_most: 2d}`: a full cap is waited for so long."""

    part: ClassVar[str] = "when_full"
    wait_at_most: Duration


class WarmingUpWords(Words):
    """`{start: 2000/d, grow: 1.5}`: each day so many times more."""

    part: ClassVar[str] = "pace"
    start: Rate
    grow: Number


class BlackoutWords(Words):
    """A time in which nothing leaves."""

    part: ClassVar[str] = "blackout"
    from_: Local = Field(alias="from")
    to: Local
    channels: Annotated[list[ChannelWord], OneOrMany()] | None = None


class LimitsWords(Words):
    """Caps, quiet hours, blackouts and pace across all campaigns."""

    part: ClassVar[str] = "limits"
    caps: list[CapWords] | None = None
    quiet_hours: dict[ChannelWord, ClockRange] | None = None
    blackouts: list[BlackoutWords] | None = None
    pace: dict[ChannelWord, Loose] | None = None


class UnsureWords(Words):
    """`{resend_after: 6h}`."""

    part: ClassVar[str] = "if_unsure"
    resend_after: Duration


class CouponPoolWords(Words):
    """Codes that messages hand out, one a person."""

    part: ClassVar[str] = "coupons"
    file: Line | None = None
    valid_for: Duration | None = None
    low: Annotated[int, whole(0, 100_000_000, "how many")] | None = None


class WorkspaceWords(Words):
    """workspace.yaml: brand, time zone, languages, senders, topics, limits, costs."""

    part: ClassVar[str] = "workspace"
    name: Line | None = None
    timezone: Zone | None = None
    currency: Currency | None = None
    address: Line | None = None
    languages: Annotated[
        Any,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
                    {"type": "array", "items": {"type": "string"}},
                ]
            }
        ),
    ] = None
    public_url: Url | None = None
    senders: dict[SendingWord, Loose] | None = None
    topics: dict[NewName, TopicWords] | None = None
    exclude: Annotated[list[ConditionWords], OneOrMany()] | None = None
    limits: LimitsWords | None = None
    holdout: Share = 0
    budget: BudgetWords | None = None
    margin: Share | None = None
    costs: dict[ChannelWord, Loose] | None = None
    rates: dict[Currency, Amount] | None = None
    if_unsure: dict[Annotated[Literal["marketing", "transactional"], Choice()], Loose] | None = None
    coupons: dict[NewName, CouponPoolWords] | None = None
    proofs: dict[ChannelWord, Annotated[list[Line], OneOrMany()]] | None = None
    allow_list: dict[ChannelWord, Annotated[list[Line], OneOrMany()]] | None = None
    attribution: AttributionWords | None = None
    footer: Loose = None
    sms_footer: Loose = None


class FieldWords(Words):
    """A field with more to say: `{one_of: […]}` or `{type: number, set_by: campaigns}`."""

    part: ClassVar[str] = "field"
    type: (
        Annotated[
            Literal[
                "word", "number", "money", "flag", "date", "instant", "email", "phone", "country", "language", "list"
            ],
            Choice(),
        ]
        | None
    ) = None
    one_of: list[Line] | None = None
    set_by: Annotated[Literal["campaigns"], Choice()] | None = None


FieldWord = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "enum": [
                        "word", "number", "money", "flag", "date", "instant", "email", "phone", "country", "language",
                        "list",
                    ]
                },
                {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "one_of": {"type": "array"},
                        "set_by": {"enum": ["campaigns"]},
                    },
                    "additionalProperties": False,
                },
                {"type": "array", "items": {"type": "object"}},
            ]
        }
    ),
]  # fmt: skip
EventName = Annotated[Text, Ref("new", "the name of an event")]


class DataWords(Words):
    """data.yaml: what the shop sends."""

    part: ClassVar[str] = "data"
    contact: dict[NewName, FieldWord] | None = None
    events: dict[EventName, dict[NewName, FieldWord]] | None = None
    surveys: Loose = None
    scores: Loose = None
    loyalty: Loose = None
    lifecycle: Loose = None


class SegmentFileWords(Words):
    """segments/NAME.yaml: a named audience."""

    part: ClassVar[str] = "segment_file"
    title: Line | None = None
    who: ConditionWords


class VariantWords(Words):
    """Words of a variant that differ from the message's own."""

    part: ClassVar[str] = "variant"
    subject: Line | None = None
    preheader: Line | None = None
    texts: dict[NewName, Line] | None = None


class MessageWordsFile(VariantWords):
    """messages/NAME.yaml: subject, preheader, texts, words of the variants."""

    part: ClassVar[str] = "message"
    variants: dict[NewName, VariantWords] | None = None
