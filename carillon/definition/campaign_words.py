"""The words of campaign.yaml: entries, steps and the keys on top."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from carillon.definition.condition_words import (
    AudienceWords,
    CampaignRef,
    ChannelWord,
    ConditionWords,
    EventRef,
    Loose,
    PoolRef,
    SameWords,
    SegmentRef,
    StepRef,
    TopicRef,
    WhereWords,
)
from carillon.definition.entries import WEEKDAYS
from carillon.definition.nodes import Text
from carillon.definition.scalars import (
    AgainWord,
    Amount,
    Choice,
    Clock,
    ClockRange,
    Duration,
    Flag,
    IfLate,
    Line,
    Local,
    Mailbox,
    NewName,
    Offset,
    Path,
    Range,
    Ref,
    Scalar,
    Share,
    parse_local,
    parse_share,
    whole,
)
from carillon.definition.shapes import AUDIENCE, EXISTING, EXIT_ON, HOLDOUT, TARGET, WAIT
from carillon.definition.words import Headed, OneOrMany, Words
from carillon.kernel.problems import did_you_mean

WeekdayWord = Annotated[Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], Choice()]
DayWord = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "day", "month"], Choice()
]
ZoneWord = Annotated[Literal["contact", "workspace"], Choice()]
SenderRef = Annotated[Text, Ref("sender", "the name of a sender")]
MessageRef = Annotated[Text, Ref("message", "the name of a message")]
WebhookRef = Annotated[Text, Ref("webhook", "the name of a webhook in workspace.yaml")]
VariantName = NewName

# ---------------------------------------------------------------- entries


class EntryBase(Words):
    part: ClassVar[str] = "entry"
    again: AgainWord = None
    if_late: IfLate | None = None


class AtWords(EntryBase):
    """Once: `{at: 2026-12-01 09:00, timezone: contact}`."""

    heads: ClassVar[tuple[str, ...]] = ("at",)
    at: Local
    timezone: ZoneWord = "workspace"


class EveryWords(EntryBase):
    """Again and again: `{every: monday, at: 10:00}`."""

    heads: ClassVar[tuple[str, ...]] = ("every",)
    every: Annotated[list[DayWord], OneOrMany()]
    at: Clock
    timezone: ZoneWord = "workspace"


class CronWords(EntryBase):
    """For engineers: `{cron: "0 9 * * 1-5"}` or `{rrule: …}`."""

    heads: ClassVar[tuple[str, ...]] = ("cron", "rrule")
    cron: Line | None = None
    rrule: Line | None = None
    timezone: ZoneWord = "workspace"


class CollectWords(Words):
    """Several triggers become one enrolment."""

    part: ClassVar[str] = "collect"
    for_: Duration | None = Field(None, alias="for")
    max: Annotated[int, whole(1, 1_000, "how many")] | None = None
    of: Path | None = None


class EventEntryWords(EntryBase):
    """When an event happens: `{event: cart_updated, where: {total: {over: 20}}, once_per: cart_id}`."""

    heads: ClassVar[tuple[str, ...]] = ("event",)
    event: EventRef
    where: WhereWords | None = None
    once_per: Path | None = None
    idle: Duration | None = None
    collect: CollectWords | None = None


def _parse_a_day(text: Text) -> int:
    number, _, unit = text.partition("/")
    if unit.strip() != "d" or not number.strip().isdigit() or int(number) == 0:
        raise ValueError("a number of people a day, such as 5000/d")
    return int(number)


class ExistingWords(Words):
    """How those who are in the segment already come in: `{enter: 5000/d}`."""

    part: ClassVar[str] = "existing"
    all: Annotated[Literal["enter"], Choice()] | None = None
    enter: Annotated[int, Scalar(_parse_a_day, "so many a day, such as 5000/d")] | None = None


class SegmentEntryWords(EntryBase):
    """When someone joins or leaves a segment."""

    heads: ClassVar[tuple[str, ...]] = ("joins", "leaves")
    joins: SegmentRef | None = None
    leaves: SegmentRef | None = None
    existing: Annotated[ExistingWords, EXISTING] | None = None


class SubscribesWords(EntryBase):
    """When someone subscribes to a topic."""

    heads: ClassVar[tuple[str, ...]] = ("subscribes",)
    subscribes: TopicRef


DayOf = Annotated[Any, WithJsonSchema({"type": "string"})]
"""A field of the contact; of the last issue also what is reckoned: `{next_order: coffee}`."""


class DateWords(EntryBase):
    """At a date of the contact: `{date: birthday, every: year, offset: -7d, at: 09:00}`."""

    heads: ClassVar[tuple[str, ...]] = ("date",)
    date: DayOf
    every: Annotated[Literal["year"], Choice()] | None = None
    offset: Offset | None = None
    at: Clock
    timezone: ZoneWord = "contact"


class ApiWords(EntryBase):
    """When we are called: `{api: true}`."""

    heads: ClassVar[tuple[str, ...]] = ("api",)
    api: Flag


class ProductWords(EntryBase):
    """When a product gets cheaper or comes back."""

    heads: ClassVar[tuple[str, ...]] = ("product",)
    product: Annotated[Literal["price_dropped", "back_in_stock"], Choice()]
    where: WhereWords | None = None
    to: ConditionWords | None = None
    unless: ConditionWords | None = None
    collect: CollectWords | None = None


EntryWords = Annotated[
    DateWords | EveryWords | CronWords | EventEntryWords | SegmentEntryWords | SubscribesWords | ApiWords
    | ProductWords | AtWords,
    Headed("entry", weak="at"),
]  # fmt: skip

# ---------------------------------------------------------------- steps


class StepBase(Words):
    part: ClassVar[str] = "step"
    id: Annotated[Text, Ref("new", "a step id: small letters, digits, _ and .")] | None = None
    was: Line | None = None


def _parse_sample(text: Text) -> int | None:
    return None if text == "auto" else parse_share(text)


class SendLeaderWords(Words):
    """Test on a sample, send the leader to the rest."""

    part: ClassVar[str] = "send_leader"
    by: Annotated[Literal["clicks", "conversions", "revenue"], Choice()] = "clicks"
    sample: Annotated[int | None, Scalar(_parse_sample, "auto or a share such as 20%")] = None
    after: Duration | None = None
    rest: Clock | None = None
    policy: Annotated[Literal["leader", "split", "control_unless_proven"], Choice()] = "leader"
    min_events: Annotated[int, whole(0, 1_000_000, "how many")] = 25


class TestWords(Words):
    """Variants of one message; the first is the control."""

    part: ClassVar[str] = "test"
    variants: list[VariantName]
    send_leader: SendLeaderWords | None = None


class MessageStepWords(StepBase):
    """One message: `{email: sale}`."""

    heads: ClassVar[tuple[str, ...]] = ("email", "sms", "push", "whatsapp", "webhook", "notify")
    email: MessageRef | None = None
    sms: MessageRef | None = None
    push: MessageRef | None = None
    whatsapp: MessageRef | None = None
    webhook: WebhookRef | None = None
    notify: MessageRef | None = None
    to: Line | None = None
    only_if: ConditionWords | None = None
    coupon: PoolRef | None = None
    test: TestWords | None = None
    valid_for: Duration | None = None
    valid_until: Local | None = None
    quiet_hours: ClockRange | None = None
    send_time: Annotated[Literal["best"], Choice()] | None = None
    subject: Line | None = None


class ReachWords(Words):
    """One way of `first_reachable`: `{sms: last_days}`."""

    part: ClassVar[str] = "reach"
    email: MessageRef | None = None
    sms: MessageRef | None = None
    push: MessageRef | None = None
    whatsapp: MessageRef | None = None


class FirstReachableWords(StepBase):
    """The first channel on which the contact can be reached."""

    heads: ClassVar[tuple[str, ...]] = ("first_reachable",)
    first_reachable: list[ReachWords]
    only_if: ConditionWords | None = None
    coupon: PoolRef | None = None
    valid_for: Duration | None = None
    valid_until: Local | None = None


def _parse_until(text: Text) -> datetime | str:
    if text in WEEKDAYS:
        return str(text)
    if text.isalpha():
        raise ValueError(f'no weekday "{text}"; {did_you_mean(text, WEEKDAYS)}')
    return parse_local(text)


class WaitWords(Words):
    """A duration (`for`, the short form), or on the contact's clock: `{days: 1, at: 09:00}`, `{until: monday, at: 09:00}`."""

    part: ClassVar[str] = "wait"
    for_: Duration | None = Field(None, alias="for")
    days: Annotated[int, whole(0, 3_660, "how many days")] | None = None
    until: Annotated[Any, Scalar(_parse_until, "a weekday, or a date and clock time such as 2026-12-24 18:00")] = None
    date: Loose = None
    offset: Offset | None = None
    at: Clock | None = None
    if_past: Annotated[Literal["go_on", "exit", "next"], Choice()] | None = None


class WaitStepWords(StepBase):
    """A duration, days, or until a day or instant."""

    heads: ClassVar[tuple[str, ...]] = ("wait",)
    wait: Annotated[WaitWords, WAIT]


class WaitForBranchWords(Words):
    """One thing that may happen: `{if: …, then: …}` or `{after: 10d, then: …}`."""

    part: ClassVar[str] = "wait_for"
    if_: ConditionWords | None = Field(None, alias="if")
    after: Duration | None = None
    then: Annotated[list[StepWords], OneOrMany()]


class WaitForEventWords(Words):
    """One event: `{event: order_delivered, within: 21d}`."""

    part: ClassVar[str] = "wait_for"
    event: EventRef
    where: WhereWords | None = None
    same: SameWords = None
    within: Duration


class WaitForWords(StepBase):
    """The first of several things that happens."""

    heads: ClassVar[tuple[str, ...]] = ("wait_for",)
    wait_for: Annotated[
        list[WaitForBranchWords] | WaitForEventWords,
        Field(union_mode="left_to_right"),
    ]
    then: Annotated[list[StepWords], OneOrMany()] | None = None
    otherwise: Annotated[list[StepWords], OneOrMany()] | None = None


class ChooseBranchWords(Words):
    """`{if: CONDITION, then: …}`, at the end `{otherwise: …}`."""

    part: ClassVar[str] = "choose"
    if_: ConditionWords | None = Field(None, alias="if")
    then: Annotated[list[StepWords], OneOrMany()] | None = None
    otherwise: Annotated[list[StepWords], OneOrMany()] | None = None


class ChooseWords(StepBase):
    """The first branch that holds; `otherwise` must be written."""

    heads: ClassVar[tuple[str, ...]] = ("choose",)
    choose: list[ChooseBranchWords]


class ArmWords(Words):
    """One random arm: `{share: 50%, then: …}`."""

    part: ClassVar[str] = "arm"
    share: Share | None = None
    then: Annotated[list[StepWords], OneOrMany()]


class SplitWords(StepBase):
    """Random arms, sticky."""

    heads: ClassVar[tuple[str, ...]] = ("split",)
    split: dict[NewName, ArmWords]


class SetWords(StepBase):
    """Writes fields that are `set_by: campaigns`."""

    heads: ClassVar[tuple[str, ...]] = ("set",)
    set: dict[Path, Line]


class UnsubscribeFromWords(Words):
    """Which consent is withdrawn, and why."""

    part: ClassVar[str] = "unsubscribe"
    topic: TopicRef
    channel: ChannelWord | None = None
    reason: NewName | None = None


class UnsubscribeWords(StepBase):
    """Withdraws a consent."""

    heads: ClassVar[tuple[str, ...]] = ("unsubscribe",)
    unsubscribe: UnsubscribeFromWords


class PointsWords(StepBase):
    """Points and scores come with the last issue."""

    heads: ClassVar[tuple[str, ...]] = ("points", "score")
    points: Loose = None
    score: Loose = None


class EnterWords(StepBase):
    """Goes on in another campaign."""

    heads: ClassVar[tuple[str, ...]] = ("enter",)
    enter: CampaignRef


class ExitWords(StepBase):
    """Ends the journey, with a reason."""

    heads: ClassVar[tuple[str, ...]] = ("exit",)
    exit: NewName


StepWords = Annotated[
    MessageStepWords | FirstReachableWords | WaitStepWords | WaitForWords | ChooseWords | SplitWords | SetWords
    | UnsubscribeWords | PointsWords | EnterWords | ExitWords,
    Headed("step"),
]  # fmt: skip

# ---------------------------------------------------------------- on top


class GoalWords(Words):
    """The event that counts as success."""

    part: ClassVar[str] = "goal"
    event: EventRef
    within: Duration | None = None
    value: Path | None = None
    where: WhereWords | None = None
    same: SameWords = None
    from_: StepRef | None = Field(None, alias="from")


class HoldoutWords(Words):
    """A share, or `{none: "legal notice"}`: nobody is held out, and why."""

    part: ClassVar[str] = "holdout"
    share: Share | None = None
    none: Line | None = None


class ExitOnWords(Words):
    """`goal`, or a condition."""

    part: ClassVar[str] = "exit_on"
    goal: Annotated[Literal["goal"], Choice()] | None = None
    condition: ConditionWords | None = None


class VerdictWords(Words):
    """The looks planned before the first send."""

    part: ClassVar[str] = "verdict"
    by: Annotated[Literal["goal", "clicks", "conversions", "revenue"], Choice()] = "goal"
    alpha: Share = 500
    looks: Annotated[list[Duration], OneOrMany()] | None = None
    correction: Annotated[Literal["group_sequential", "bonferroni"], Choice()] = "group_sequential"


class ExpectWords(Words):
    """How many there should be: `{audience: 1000-2000}`."""

    part: ClassVar[str] = "expect"
    audience: Range


class ApprovalWords(Words):
    """Whose yes is needed."""

    part: ClassVar[str] = "approval"
    by: list[Mailbox]


class BudgetWords(Words):
    """The most it may cost."""

    part: ClassVar[str] = "budget"
    per: Annotated[Literal["day", "week", "month", "campaign"], Choice()] = "campaign"
    amount: Amount


class OnChangeWords(Words):
    """What becomes of people under way when the campaign changes."""

    part: ClassVar[str] = "on_change"
    move: Annotated[Literal["latest"], Choice()]


class AttributionWords(Words):
    """Which send is credited."""

    part: ClassVar[str] = "attribution"
    model: Annotated[Literal["last_touch"], Choice()] = "last_touch"
    click: Duration | None = None
    delivered: Duration | None = None


class TargetWords(Words):
    """What the goal should reach: a number of people, or `{conversions: 500, revenue: 20000}`."""

    part: ClassVar[str] = "target"
    conversions: Annotated[int, whole(1, 1_000_000_000, "how many people")] | None = None
    revenue: Amount | None = None


class CampaignWords(Words):
    """campaign.yaml: audience, entry, goal, tests and the journey."""

    part: ClassVar[str] = "campaign"
    title: Line | None = None
    topic: TopicRef | None = None
    state: Annotated[Literal["draft", "live", "ended"], Choice()] = "live"
    owner: Line | None = None
    tags: Annotated[list[Line], OneOrMany()] | None = None
    series: Line | None = None
    was: NewName | None = None
    starts: Local | None = None
    ends: Local | None = None
    audience: Annotated[AudienceWords, AUDIENCE] | None = None
    entry: Annotated[list[EntryWords], OneOrMany()] | None = None
    exit_on: Annotated[list[Annotated[ExitOnWords, EXIT_ON]], OneOrMany()] | None = None
    goal: GoalWords | None = None
    also_measure: Annotated[list[GoalWords], OneOrMany()] | None = None
    holdout: Annotated[HoldoutWords, HOLDOUT] | None = None
    priority: Annotated[int, whole(0, 100, "a priority from 0 to 100")] = 50
    caps: Annotated[Literal["count_only"], Choice()] | None = None
    expect: ExpectWords | None = None
    budget: BudgetWords | None = None
    spend: Amount | None = None
    target: Annotated[TargetWords, TARGET] | None = None
    approval: ApprovalWords | None = None
    sender: SenderRef | None = None
    verdict: VerdictWords | None = None
    attribution: AttributionWords | None = None
    on_change: OnChangeWords | None = None
    messages: Annotated[Literal["as_entered", "newest"], Choice()] | None = None
    journey: list[StepWords] | None = None
