"""campaign.yaml → the campaign, and everything in it that cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from carillon.definition.availability import is_available
from carillon.definition.build_conditions import Names, condition_of, event_fields, same_of, since_of, where_of
from carillon.definition.build_dates import yearly_dates
from carillon.definition.build_entries import build_entry, trigger_fields
from carillon.definition.build_limits import build_budget, build_expected, window_of
from carillon.definition.build_ours import check_ours
from carillon.definition.build_steps import Steps
from carillon.definition.build_wait_for import answer_fields
from carillon.definition.build_workspace import build_attribution
from carillon.definition.campaign_words import (
    AtWords,
    CampaignWords,
    CronWords,
    EntryBase,
    EveryWords,
    GoalWords,
    MessageStepWords,
    StepBase,
    VerdictWords,
)
from carillon.definition.condition_words import AudienceWords
from carillon.definition.conditions import EVERYONE, All, Condition
from carillon.definition.entries import Broadcast, Entry, LaterEntry, entry_key, is_same
from carillon.definition.model import (
    Audience,
    Campaign,
    Choose,
    Goal,
    LaterStep,
    MessageSource,
    Send,
    Split,
    Target,
    Top,
    Verdict,
    WaitFor,
    Workspace,
    walk,
)
from carillon.definition.nodes import Text
from carillon.definition.scalars import Reading
from carillon.definition.step_ids import StepIds, branches_in, name_steps, sent_by
from carillon.definition.words import note_later
from carillon.kernel.channels import OURS, Channel
from carillon.kernel.durations import Span
from carillon.kernel.problems import Position, did_you_mean
from carillon.kernel.time.windows import union_is_whole_day

_A_WEEK = Span(seconds=7 * 86_400)
_BY_CALENDAR = (AtWords, EveryWords, CronWords)


@dataclass(slots=True)
class CampaignContext:
    """What surrounds a campaign."""

    name: str
    file: str
    workspace: Workspace
    messages: Mapping[str, MessageSource]
    sent: set[str] = field(default_factory=set)
    """The messages that steps name, filled while building."""


def build_campaign(words: CampaignWords, names: Names, around: CampaignContext) -> Campaign:
    """The campaign; what is wrong or missing is noted."""
    reading = names.typing.reading
    for key, what in _REQUIRED.items():
        if words.lacks(key):
            reading.missing(Position(around.file), f'the key "{key}" is missing', what)
    entries: list[EntryBase] = list(words.entry or [])
    journey: list[StepBase] = list(words.journey or [])
    ids = name_steps(journey, reading)
    names.steps, names.messages, names.ours = ids.lookup(), ids.shared_messages(), frozenset(ids.ours)
    names.given = frozenset(ids.pools)
    names.trigger = trigger_fields(entries, names)
    names.answer = answer_fields(journey, names)
    names.campaign, names.yearly = around.name, yearly_dates(entries)
    campaign = Campaign(
        name=around.name,
        title=str(words.title or around.name.replace("_", " ").capitalize()),
        topic=str(words.topic or ""),
        entries=tuple(build_entry(entry, names) for entry in entries),
        journey=Steps(names, ids).build(journey),
        state=words.state,
        owner=str(words.owner) if words.owner is not None else None,
        tags=tuple(map(str, words.tags or ())),
        was=str(words.was) if words.was is not None else None,
        starts=words.starts,
        ends=words.ends,
        audience=_audience(words.audience, names),
        goal=_goal(words.goal, names) if words.goal is not None else None,
        exits_on_goal=any(exit_.goal is not None for exit_ in words.exit_on or ()),
        exit_on=tuple(_exits(words, names)),
        holdout=words.holdout.share if words.holdout is not None else None,
        holdout_none=str(words.holdout.none) if words.holdout is not None and words.holdout.none is not None else None,
        priority=words.priority,
        counts_only=words.caps == "count_only",
        expect=build_expected(words.expect, reading),
        budget=build_budget(words.budget),
        approval_by=tuple(map(str, words.approval.by)) if words.approval is not None else (),
        sender=str(words.sender) if words.sender is not None else None,
        attribution=build_attribution(words.attribution, around.workspace.attribution) if words.attribution else None,
        also_measure=tuple(_goal(also, names) for also in words.also_measure or ()),
        spend=words.spend,
        target=_target(words, reading),
        verdict=_verdict(words.verdict) if words.verdict is not None else Verdict(),
        series=str(words.series) if words.series is not None else None,
        keeps_texts=words.messages == "as_entered",
        moves_to_latest=words.on_change is not None and words.on_change.move == "latest",
    )
    _check(words, journey, ids, names, around)
    _check_from(words, campaign, names)
    _check_repeated(campaign.entries, entries, names)
    _check_top(words, campaign, names)
    return campaign


_REQUIRED = {
    "topic": "what it is about: topic: NAME (of workspace.yaml)",
    "entry": "when people enter: entry: {at: 2026-12-01 09:00}",
    "journey": "what they get: journey: [{email: NAME}]",
}


def _audience(words: AudienceWords | None, names: Names) -> Audience:
    if words is None:
        return Audience()
    condition = condition_of(words.who, names) if words.who is not None else EVERYONE
    exclude = tuple(condition_of(one, names) for one in words.exclude or ())
    top = None
    if words.top is not None:
        field = names.contact.get(words.top.by)
        if field is None and not is_available(f"condition.{words.top.by}"):
            note_later(names.typing.reading, words.top.by.at, words.top.by)
        elif field is None:
            names.unknown(words.top.by, "field", [n for n, one in names.contact.items() if one.type in ORDERED])
        elif field.type not in ORDERED:
            names.wrong(words.top.by, f'"{words.top.by}" is a {field.type}: nobody is above another', "a number or day")
        top = Top(words.top.count, str(words.top.by), field.type if field is not None else "number")
    return Audience(condition, exclude, top)


ORDERED = ("number", "money", "date", "instant")
"""Types of fields by which people can be ranked."""


def _check_top(words: CampaignWords, campaign: Campaign, names: Names) -> None:
    if campaign.audience.top is None or words.audience is None:
        return
    if not all(isinstance(entry, Broadcast) for entry in campaign.entries):
        names.typing.reading.note(
            words.audience.key_at("top"), 7, "only a wave of the whole audience has a top: who enters here comes one by one",
            "entry: {at: …} or {every: …}",
        )  # fmt: skip


def _goal(words: GoalWords, names: Names) -> Goal:
    fields = event_fields(words.event, names)
    if words.value is not None and fields is not None:
        declared = fields.get(words.value)
        if declared is None:
            names.unknown(words.value, "field", fields)
        elif declared.type not in ("money", "number"):
            names.wrong(words.value, f'"{words.value}" is a {declared.type}, which is worth nothing', "a money field")
    return Goal(
        str(words.event),
        words.within or _A_WEEK,
        str(words.value) if words.value is not None else None,
        where_of(words.where, fields, str(words.event), names),
        same_of(words.same, fields, names),
        None if words.from_ == "entry" else since_of(words.from_, names),
    )


def _check_from(words: CampaignWords, campaign: Campaign, names: Names) -> None:
    told = {step.id for step in walk(campaign.journey) if isinstance(step, Send | Choose | Split | WaitFor | LaterStep)}
    known = set((names.steps or {}).values()) - told
    written = [words.goal, *(words.also_measure or ())]
    for goal, built in zip(written, [campaign.goal, *campaign.also_measure], strict=True):
        if goal is not None and goal.from_ is not None and built is not None and built.from_step in known:
            names.wrong(
                goal.from_, "it is kept of messages and forks only when people were there", "the message behind it"
            )


def _target(words: CampaignWords, reading: Reading) -> Target | None:
    if words.target is None:
        return None
    if words.lacks("goal"):
        reading.missing(words.key_at("target"), "there is no goal that it could be a target of", "goal: {event: …}")
    elif words.target.revenue is not None and words.goal is not None and words.goal.lacks("value"):
        reading.missing(words.target.key_at("revenue"), "the goal has no money", "goal: {event: …, value: total}")
    return Target(words.target.conversions, words.target.revenue)


def _exits(words: CampaignWords, names: Names) -> Iterator[Condition]:
    for exit_ in words.exit_on or ():
        if exit_.goal is not None and words.lacks("goal"):
            names.typing.reading.missing(exit_.place, 'there is no goal: "goal" must be written', "goal: {event: …}")
        if exit_.condition is not None:
            condition = condition_of(exit_.condition, names)
            yield condition.parts[0] if isinstance(condition, All) and len(condition.parts) == 1 else condition


def _verdict(words: VerdictWords) -> Verdict:
    default = Verdict()
    return Verdict(words.by, words.alpha, tuple(words.looks) if words.looks else default.looks, words.correction)


# ---------------------------------------------------------------- what cannot be meant


def _check(words: CampaignWords, journey: list[StepBase], ids: StepIds, names: Names, around: CampaignContext) -> None:
    _check_names(words, names, around)
    _check_entries(words, names, around)
    for step in _all_steps(journey):
        _check_sends(step, words, names, around)


def _all_steps(steps: list[StepBase]) -> Iterator[StepBase]:
    for step in steps:
        yield step
        for _, inside in branches_in(step):
            yield from _all_steps(inside)


def _check_names(words: CampaignWords, names: Names, around: CampaignContext) -> None:
    if words.topic is not None and words.topic not in around.workspace.topics:
        names.unknown(words.topic, "topic", around.workspace.topics)
    known = {name for senders in around.workspace.senders.values() for name in senders}
    if words.sender is not None and words.sender not in known:
        names.unknown(words.sender, "sender", known)
    topic = around.workspace.topics.get(words.topic or "")
    if topic is not None and topic.kind == "transactional":
        for key, what in _MARKETING_ONLY.items():
            if words.has(key):
                names.typing.reading.note(words.key_at(key), 8, f'"{topic.name}" is transactional: {what}', f"no {key}")
    if words.approval is not None and not words.approval.by:
        names.typing.reading.note(
            words.approval.key_at("by"), 3, "nobody could ever say yes", "by: [head@shop.example]"
        )
    if words.budget is not None and not around.workspace.costs:
        names.typing.reading.missing(
            words.key_at("budget"),
            "without costs nothing is ever over budget",
            "costs: {email: 0.0004} in workspace.yaml",
        )


_MARKETING_ONLY = {"holdout": "nobody is held out of it", "caps": "no cap holds for it"}


def _check_entries(words: CampaignWords, names: Names, around: CampaignContext) -> None:
    reading = names.typing.reading
    entries = list(words.entry or [])
    calendar = next((entry for entry in entries if isinstance(entry, _BY_CALENDAR)), None)
    if calendar is not None and words.lacks("audience"):
        reading.missing(
            calendar.place, "who gets it must be written", "audience: {segment: NAME}, or audience: everyone"
        )
    if words.starts is not None and words.ends is not None and words.ends <= words.starts:
        reading.note(words.key_at("ends"), 9, "it ends before it starts")
    for entry in entries:
        if isinstance(entry, AtWords) and words.ends is not None and entry.at >= words.ends:
            reading.note(entry.place, 9, f"nobody enters: the campaign ends on {words.ends:%Y-%m-%d %H:%M}")
        if isinstance(entry, AtWords) and words.starts is not None and entry.at < words.starts:
            reading.note(entry.place, 9, f"nobody enters: the campaign starts on {words.starts:%Y-%m-%d %H:%M}")
    if words.expect is not None and entries and calendar is None:
        reading.note(
            words.expect.place, 7, "only a wave can be counted, and who enters here comes one by one", "no expect"
        )


def _check_repeated(entries: tuple[Entry, ...], places: list[EntryBase], names: Names) -> None:
    """Two entries that a wave cannot tell apart: of the second nobody would ever enter."""
    for number, entry in enumerate(entries):
        for earlier in entries[:number]:
            if not isinstance(entry, LaterEntry) and not isinstance(earlier, LaterEntry) and is_same(entry, earlier):
                key = entry_key(entry)
                names.typing.reading.note(
                    places[number].place, 7, f"{key} stands twice: an entry is told by its kind and what it is about",
                    "one of them, or a campaign for each",
                )  # fmt: skip
                break


def _check_sends(step: StepBase, words: CampaignWords, names: Names, around: CampaignContext) -> None:
    for channel, message in sent_by(step):
        if channel in OURS:
            check_ours(channel, message, step, names, around.workspace.senders, around.messages)
            if channel == "webhook":
                continue
        around.sent.add(message)
        if channel in ("email", "sms"):
            _check_channel(Channel(channel), message, words, names, around)
            _check_files(channel, message, step, names, around)
    if isinstance(step, MessageStepWords):
        _check_test(step, words, names, around)
    topic = around.workspace.topics.get(words.topic or "")
    if topic is not None and topic.kind == "transactional":
        for key, what in (("coupon", "no coupon may stand in it"), ("quiet_hours", "no quiet hours hold for it")):
            if step.has(key):
                names.typing.reading.note(step.key_at(key), 8, f'"{topic.name}" is transactional: {what}')
    if isinstance(step, MessageStepWords) and step.quiet_hours is not None:
        _check_quiet_hours(step, step.quiet_hours, names, around)


def _check_quiet_hours(step: MessageStepWords, hours: Text, names: Names, around: CampaignContext) -> None:
    channel = Channel.SMS if step.sms is not None else Channel.EMAIL
    house, own = around.workspace.limits.quiet_hours.get(channel), window_of(hours, names.typing.reading)
    if house is not None and own is not None and union_is_whole_day([house, own]):
        names.typing.reading.note(
            hours.at, 3, f"with the quiet hours of workspace.yaml ({house}) this leaves no minute of the day"
        )


def _check_channel(
    channel: Channel, message: Text, words: CampaignWords, names: Names, around: CampaignContext
) -> None:
    if not around.workspace.senders.get(channel):
        names.typing.reading.note(
            message.at, 4, f"no sender for {channel}", f"senders: {{{channel}: …}} in workspace.yaml"
        )
    topic = around.workspace.topics.get(words.topic or "")
    if topic is not None and topic.kind == "marketing" and topic.consent and channel not in topic.consent:
        allowed = ", ".join(topic.consent)
        names.typing.reading.note(
            message.at,
            8,
            f'nobody would get it: {channel} does not stand under the topic "{topic.name}"',
            f"{allowed}, or consent: {{{channel}: explicit}} in workspace.yaml",
        )


def _check_files(channel: str, message: Text, step: StepBase, names: Names, around: CampaignContext) -> None:
    source = around.messages.get(message)
    missing = _missing_email(source, step) if channel == "email" else _missing_sms(source)
    if not missing:
        return
    near = did_you_mean(message, around.messages) if source is None else ""
    files = " and ".join(f"messages/{message}{ending}" for ending in missing)
    what = f'no message "{message}"' if source is None else f'the message "{message}" is not complete'
    hint = near if near.startswith("did") else f"write {'it' if len(missing) == 1 else 'them'}"
    names.typing.reading.note(
        message.at, 4, f"{what}: {files} {'is' if len(missing) == 1 else 'are'} missing", "", hint
    )


def _missing_email(source: MessageSource | None, step: StepBase) -> list[str]:
    short = isinstance(step, MessageStepWords) and step.subject is not None
    subject = source is not None and any(words.subject for words in source.words.values())
    body = source is not None and (source.mjml or source.html or source.txt)
    return ([] if short or subject else [".yaml"]) + ([] if body else [".mjml"])


def _missing_sms(source: MessageSource | None) -> list[str]:
    return [] if source is not None and source.sms else [".sms.txt"]


def _check_test(step: MessageStepWords, words: CampaignWords, names: Names, around: CampaignContext) -> None:
    if step.test is None:
        return
    reading = names.typing.reading
    calendar = [isinstance(entry, _BY_CALENDAR) for entry in words.entry or ()]
    if step.test.send_leader is not None and not all(calendar):
        reading.note(
            step.test.key_at("send_leader"), 7, "a leader needs a rest to be sent to: only `at` and `every` entries have one",
            "no send_leader; the test goes on with all who enter",
        )  # fmt: skip
    message = step.email if step.email is not None else step.sms
    source = around.messages.get(message or "")
    if source is None:
        return
    words_file = source.words.get(around.workspace.default_language)
    known = words_file.variants if words_file is not None else {}
    for variant in step.test.variants[1:]:
        if variant not in known:
            file = f"messages/{message}.yaml"
            hint = did_you_mean(variant, known) or f"variants: {{{variant}: {{subject: …}}}} in it"
            reading.note(variant.at, 4, f'no words of the variant "{variant}" stand in {file}', "", hint)
