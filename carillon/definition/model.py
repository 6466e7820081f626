"""The checked definition: what a workspace's YAML says, typed, resolved and frozen.

`load_workspace` makes these from files; `plan` compiles them and `messages` renders from them. Shares are buckets of
10,000 (`5%` is 500). Clock times are `time`, dates with a clock time are naive `datetime`s, because a zone is only chosen
where they are used. References are checked: topics, segments, events, fields, steps and `{value: …}` exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import Literal

from carillon.definition.conditions import EVERYONE, Condition, FieldType, Same, Scalar, Where
from carillon.definition.entries import Entry, Weekday
from carillon.definition.limits import Budget, Expected, Limits
from carillon.kernel.channels import Channel
from carillon.kernel.durations import Span
from carillon.kernel.time.windows import Window

Share = int
"""Buckets of 10,000."""

FIVE_DAYS, TWELVE_HOURS = Span(seconds=5 * 86_400), Span(seconds=12 * 3_600)

# ---------------------------------------------------------------- workspace


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes. `connector` names a folder of `connectors/`; e-mail has addresses, SMS a service or a number."""

    name: str
    channel: Channel
    connector: str
    address: str = ""
    display_name: str = ""
    reply_to: str = ""
    messaging_service: str = ""
    url: str = ""
    """Where a webhook posts to."""
    fields: tuple[str, ...] = ()
    """The contact's fields that a webhook tells, beside its id."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What messages are about. `consent` names each channel that may carry it, and how its consent is read."""

    name: str
    kind: Literal["marketing", "transactional"]
    titles: Mapping[str, str]
    """Language → what people read on the preferences page; a title without languages stands under the default one."""
    consent: Mapping[Channel, Literal["explicit", "double", "assumed"]] = field(default_factory=dict)
    sender: str | None = None
    confirm: str | None = None
    """The message that asks for the second yes of `double`."""
    asks_for: str | None = None
    """The topic whose yes is asked for under this one; only of those that `confirming` makes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one message costs in the workspace's currency (an SMS: one segment)."""

    default: Decimal
    by_country: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unsure:
    """What becomes of a hand-over whose outcome is unknown; `resend` with `after` waits for evidence that long."""

    action: Literal["hold", "resend"]
    after: Span | None = None


@dataclass(frozen=True, slots=True)
class CouponPool:
    """Codes that messages hand out, one a person."""

    name: str
    file: str = ""
    """Below the workspace; `apply` lays in what stands there. Empty: codes are imported."""
    valid_for: Span | None = None
    """From the instant at which a code is set aside; None: it is good for ever."""
    low: int = 0
    """We are told when fewer are left."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which send is credited with a conversion: the last one clicked, or delivered, within these times."""

    model: Literal["last_touch"] = "last_touch"
    click: Span = FIVE_DAYS
    delivered: Span = TWELVE_HOURS


@dataclass(frozen=True, slots=True)
class Workspace:
    """The brand and its defaults: workspace.yaml with its overlay."""

    name: str
    timezone: str
    currency: str
    address: str
    languages: Mapping[str, tuple[str, ...]]
    """Language → countries whose people get it where they have no language of their own; the first is the default."""
    public_url: str
    senders: Mapping[Channel, Mapping[str, Sender]]
    """Channel → name → sender; the first of a channel is its default."""
    topics: Mapping[str, Topic]
    exclude: tuple[Condition, ...] = ()
    """Whoever fulfils one of these gets no marketing; asked when due."""
    holdout: Share = 0
    margin: Share | None = None
    costs: Mapping[Channel, Cost] = field(default_factory=dict)
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """Currency → what one unit of it is worth in the workspace's."""
    if_unsure: Mapping[Literal["marketing", "transactional"], Unsure] = field(default_factory=dict)
    attribution: Attribution = Attribution()
    limits: Limits = field(default_factory=Limits)
    budget: Budget | None = None
    coupons: Mapping[str, CouponPool] = field(default_factory=dict)
    footer: Mapping[str, str] = field(default_factory=dict)
    """Country → what stands below every mail; '' is for all others."""
    sms_footer: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[Channel, tuple[str, ...]] = field(default_factory=dict)
    """Our own addresses, where `carillon proof` sends."""
    allow_list: Mapping[Channel, tuple[str, ...]] = field(default_factory=dict)
    """The only addresses (or `@domains`) that are written to on a channel, in small letters; for staging."""

    @property
    def currencies(self) -> tuple[str, ...]:
        """Those that money may be in, our own first."""
        return (self.currency, *self.rates)

    @property
    def default_language(self) -> str:
        return next(iter(self.languages))


# ---------------------------------------------------------------- what the shop sends


@dataclass(frozen=True, slots=True)
class Field:
    """A contact field or an event's property. A list of things has `things`; `one_of` has `options`."""

    name: str
    type: FieldType
    options: tuple[str, ...] = ()
    things: Mapping[str, Field] = field(default_factory=dict)
    set_by_campaigns: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """data.yaml and the built-in fields and events."""

    contact: Mapping[str, Field]
    events: Mapping[str, Mapping[str, Field]]


@dataclass(frozen=True, slots=True)
class Segment:
    """A named audience: segments/NAME.yaml."""

    name: str
    title: str
    who: Condition


# ---------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True)
class SendLeader:
    """A sample is tested, the leader goes to the rest. `sample` None: the engine chooses (`auto`)."""

    by: Literal["clicks", "conversions", "revenue"]
    sample: Share | None
    after: Span
    rest: time | None
    """The clock time at which each contact of the rest gets it; None = as soon as it is decided."""
    policy: Literal["leader", "split", "control_unless_proven"] = "leader"
    min_events: int = 25


@dataclass(frozen=True, slots=True)
class Test:
    """Variants of one message in equal shares; the first is the control and may use the message's own words."""

    variants: tuple[str, ...]
    send_leader: SendLeader | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """A message on a channel, where the ones before it do not reach the contact."""

    channel: Channel
    message: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom `notify` writes to: the mailbox that a field of the contact names, else `address`."""

    address: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """One message on one channel; with `others` (`first_reachable`) on the first that reaches the contact."""

    id: str
    channel: Channel
    message: str
    was: str | None = None
    only_if: Condition | None = None
    test: Test | None = None
    valid_for: Span | None = None
    valid_until: datetime | None = None
    """On the contact's clock."""
    subject: str | None = None
    """The short form, where the message file has no subject of its own."""
    quiet_hours: Window | None = None
    """Beside the workspace's: both hold."""
    others: tuple[Way, ...] = ()
    at_best_time: bool = False
    """`send_time: best`: at the hour at which the contact answers."""
    to: Recipient | None = None
    """Of `notify`."""
    coupon: str | None = None
    """The pool of which each person is given a code."""
    kind: Literal["send"] = "send"


@dataclass(frozen=True, slots=True)
class Wait:
    """Exact hours, or calendar months, from arrival."""

    id: str
    span: Span
    was: str | None = None
    kind: Literal["wait"] = "wait"


@dataclass(frozen=True, slots=True)
class WaitDays:
    """So many calendar days after the day of arrival, at a clock time, on the contact's clock."""

    id: str
    days: int
    at: time
    was: str | None = None
    kind: Literal["wait_days"] = "wait_days"


@dataclass(frozen=True, slots=True)
class WaitUntilDay:
    """The next such weekday at a clock time, today if still ahead, on the contact's clock."""

    id: str
    day: Weekday
    at: time
    was: str | None = None
    if_past: Literal["go_on", "exit", "next"] = "next"
    """What becomes of those who arrive on that day behind the clock time."""
    kind: Literal["wait_until_day"] = "wait_until_day"


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """A date and clock time on the contact's clock; where it is past on arrival, go on or exit."""

    id: str
    at: datetime
    if_past: Literal["go_on", "exit"]
    was: str | None = None
    kind: Literal["wait_until"] = "wait_until"


@dataclass(frozen=True, slots=True)
class WaitUntilDate:
    """A date of the contact's own, so long before or after it; where it is past on arrival, or missing, go on or exit.

    `yearly`: the campaign is entered by this date every year, so it means this year's. `at` None: an instant as it is.
    """

    id: str
    field: str
    type: Literal["date", "instant"]
    offset: Span
    at: time | None
    if_past: Literal["go_on", "exit"]
    yearly: bool = False
    was: str | None = None
    kind: Literal["wait_until_date"] = "wait_until_date"


@dataclass(frozen=True, slots=True)
class Branch:
    """What happens where the condition holds. `name` is stable across edits elsewhere: the condition's head and subject."""

    name: str
    condition: Condition
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """The first branch whose condition holds, else `otherwise`; a branch that does not exit goes on behind."""

    id: str
    branches: tuple[Branch, ...]
    otherwise: tuple[Step, ...]
    was: str | None = None
    kind: Literal["choose"] = "choose"


@dataclass(frozen=True, slots=True)
class WaitFor:
    """The first of several things that happens after arrival; once `at_most` is over, `late`."""

    id: str
    outcomes: tuple[Branch, ...]
    at_most: Span
    late: tuple[Step, ...]
    was: str | None = None
    kind: Literal["wait_for"] = "wait_for"


@dataclass(frozen=True, slots=True)
class SetFields:
    """Fields of the contact that are `set_by: campaigns`, and what they become."""

    values: tuple[tuple[str, Scalar], ...]
    kind: Literal["set"] = "set"


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """A consent that ends; without a channel on all channels of the topic."""

    topic: str
    channel: Channel | None = None
    reason: str = ""
    kind: Literal["unsubscribe"] = "unsubscribe"


@dataclass(frozen=True, slots=True)
class EnterCampaign:
    """Another campaign that takes the contact in, by its own audience and `again`."""

    campaign: str
    kind: Literal["enter"] = "enter"


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done to the contact, with evidence; not for the holdout."""

    id: str
    act: SetFields | Unsubscribe | EnterCampaign
    was: str | None = None
    kind: Literal["act"] = "act"


@dataclass(frozen=True, slots=True)
class Arm:
    name: str
    share: Share
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Random arms, sticky; the shares add up to 10,000."""

    id: str
    arms: tuple[Arm, ...]
    was: str | None = None
    kind: Literal["split"] = "split"


@dataclass(frozen=True, slots=True)
class Exit:
    id: str
    reason: str
    was: str | None = None
    kind: Literal["exit"] = "exit"


@dataclass(frozen=True, slots=True)
class LaterStep:
    """A step whose engine is not there yet: read and checked, refused by `check`, never compiled.

    `inside` holds the steps of its branches, one tuple a branch, so that what they name is checked too.
    """

    id: str
    word: str
    inside: tuple[tuple[Step, ...], ...] = ()
    was: str | None = None
    kind: Literal["later"] = "later"


Step = (
    Send
    | Wait
    | WaitDays
    | WaitUntilDay
    | WaitUntil
    | WaitUntilDate
    | WaitFor
    | Choose
    | Split
    | Act
    | Exit
    | LaterStep
)


def branches_of(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The branches inside a step, in the order written; empty for a step without branches."""
    match step:
        case Choose():
            return (*(b.steps for b in step.branches), step.otherwise)
        case WaitFor():
            return (*(b.steps for b in step.outcomes), step.late)
        case Split():
            return tuple(arm.steps for arm in step.arms)
        case LaterStep():
            return step.inside
        case _:
            return ()


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step of a journey, branches included, in the order written."""
    for step in steps:
        yield step
        for branch in branches_of(step):
            yield from walk(branch)


# ---------------------------------------------------------------- campaign


@dataclass(frozen=True, slots=True)
class Goal:
    """The event that counts as success, within a time from entry (or from `from_step`)."""

    event: str
    within: Span
    value: str | None = None
    """The property whose money counts."""
    where: Where = ()
    same: tuple[Same, ...] = ()
    from_step: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The looks planned before the first send, and what they judge by."""

    by: Literal["goal", "clicks", "conversions", "revenue"] = "goal"
    alpha: Share = 500
    looks: tuple[Span, ...] = (
        Span(seconds=4 * 3_600),
        Span(seconds=8 * 3_600),
        Span(seconds=24 * 3_600),
        Span(seconds=72 * 3_600),
        Span(seconds=14 * 86_400),
    )
    correction: Literal["group_sequential", "bonferroni"] = "group_sequential"


@dataclass(frozen=True, slots=True)
class Target:
    """What the marketer aims at."""

    conversions: int | None = None
    """People with at least one."""
    revenue: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Top:
    """Only so many of the audience: those whose field is highest; who lacks it is not among them."""

    count: int
    by: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a run takes in: `condition` holds and none of `exclude` does."""

    condition: Condition = EVERYONE
    exclude: tuple[Condition, ...] = ()
    top: Top | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign.yaml. `name` is its folder."""

    name: str
    title: str
    topic: str
    entries: tuple[Entry, ...]
    journey: tuple[Step, ...]
    state: Literal["draft", "live", "ended"] = "live"
    owner: str | None = None
    tags: tuple[str, ...] = ()
    was: str | None = None
    starts: datetime | None = None
    """No entry before; in the zone of the entry. So is `ends`: no entry and no message after."""
    ends: datetime | None = None
    audience: Audience = Audience()
    goal: Goal | None = None
    exits_on_goal: bool = False
    exit_on: tuple[Condition, ...] = ()
    holdout: Share | None = None
    """The campaign's own control group; None = only the workspace's."""
    holdout_none: str | None = None
    """Why nobody is held out, neither globally nor here (`holdout: {none: "legal notice"}`)."""
    priority: int = 50
    counts_only: bool = False
    """`caps: count_only`: no cap holds it back, but what it sends is counted."""
    expect: Expected | None = None
    budget: Budget | None = None
    approval_by: tuple[str, ...] = ()
    """The addresses of those one of whom must say yes before anything is handed over; empty = nobody is asked."""
    sender: str | None = None
    attribution: Attribution | None = None
    """None: the workspace's."""
    also_measure: tuple[Goal, ...] = ()
    spend: Decimal | None = None
    """What it cost outside of Carillon."""
    target: Target | None = None
    verdict: Verdict = Verdict()
    series: str | None = None
    """The name under which reports set it beside other campaigns; no part of the meaning."""
    keeps_texts: bool = False
    """`messages: as_entered`: people get the texts that stood when they entered."""
    moves_to_latest: bool = False
    """`on_change: {move: latest}`: people under way go on in the newest version where it still has their step."""


# ---------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class SourceText:
    """A file's text and its path as problems name it: relative to the workspace's parent (`campaigns/…`)."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class MessageWords:
    """The words of one language: messages/NAME.yaml or NAME.LANGUAGE.yaml. Empty where not written."""

    subject: str | None = None
    preheader: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, MessageWords] = field(default_factory=dict)
    """Variant → the words that differ from the message's own."""
    path: str = ""


@dataclass(frozen=True, slots=True)
class MessageSource:
    """All files of one message. Keys are languages; a file without a language stands under the default language.

    `mjml`, `html` and `txt` of the default language serve every language that has none of its own; words and SMS do not.
    """

    name: str
    words: Mapping[str, MessageWords] = field(default_factory=dict)
    mjml: Mapping[str, SourceText] = field(default_factory=dict)
    html: Mapping[str, SourceText] = field(default_factory=dict)
    txt: Mapping[str, SourceText] = field(default_factory=dict)
    sms: Mapping[str, SourceText] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """All its files."""
        designs = (self.mjml, self.html, self.txt, self.sms)
        words = [words.path for words in self.words.values()]
        return (*words, *(text.path for design in designs for text in design.values()))
