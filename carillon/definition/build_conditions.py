"""Condition words → the closed union: names looked up, values typed, steps resolved to their ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from carillon.definition.analyst import RefusedSqlError, checked
from carillon.definition.availability import is_available
from carillon.definition.condition_words import (
    AllWords,
    AnswerWords,
    AnyWords,
    CompareWords,
    ConditionBase,
    ConsentWords,
    ContactWords,
    CouponWords,
    EnrolledInWords,
    EventWords,
    ListWords,
    NotWords,
    PeopleWords,
    ReachableWords,
    ReceivedWords,
    ResponseOfWords,
    SegmentWords,
    SqlWords,
    TriggerWords,
)
from carillon.definition.conditions import (
    AT_LEAST_ONE,
    All,
    AnswerIs,
    AnyOf,
    Compare,
    Condition,
    Consented,
    ContactIs,
    CouponIs,
    EnrolledIn,
    HasEvent,
    InList,
    InSegment,
    Later,
    Not,
    Reachable,
    Responded,
    Same,
    Sql,
    TriggerIs,
    Where,
)
from carillon.definition.field_tests import Typing, tests_of
from carillon.definition.model import CouponPool, Field
from carillon.definition.nodes import Map, Node, Seq, Text
from carillon.definition.scalars import parse_number
from carillon.definition.words import note_later, read
from carillon.kernel.problems import did_you_mean

_BOUNDS: tuple[Literal["over", "at_least", "under", "at_most"], ...] = ("over", "at_least", "under", "at_most")


@dataclass(slots=True)
class Names:
    """What a condition may name, and where it stands."""

    typing: Typing
    contact: Mapping[str, Field]
    events: Mapping[str, Mapping[str, Field]]
    segments: frozenset[str]
    campaigns: frozenset[str]
    topics: frozenset[str]
    steps: Mapping[str, str] | None = None
    """Step id or message → step id (a message of several steps: itself); None outside a journey."""
    messages: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()
    """Steps that reach one of ours, not the contact."""
    trigger: Mapping[str, Field] | None = None
    """The trigger's fields; None where nothing triggers."""
    campaign: str = ""
    """The campaign whose words are read."""
    yearly: frozenset[str] = frozenset()
    """Fields of the contact by which the campaign is entered every year."""
    answer: Mapping[str, Field] | None = None
    """The fields of the events that may end a `wait_for`; None where none does."""
    used_segments: set[str] = field(default_factory=set)
    pools: Mapping[str, CouponPool] = field(default_factory=dict)
    """The pools of coupons."""
    given: frozenset[str] = frozenset()
    """Those of which the campaign gives codes."""

    def unknown(self, name: Text, what: str, known: Any) -> None:
        """Note a name that is not defined."""
        self.typing.reading.note(name.at, 4, f'no {what} "{name}"', suggestion=did_you_mean(name, known))

    def wrong(self, node: Node, message: str, expected: str = "", suggestion: str = "") -> None:
        """Note a value that makes no sense here."""
        self.typing.reading.note(node.at, 3, message, expected, suggestion)


def condition_of(words: ConditionBase, names: Names) -> Condition:
    """The condition that the words say."""
    match words:
        case AllWords():
            return All(tuple(condition_of(part, names) for part in words.all))
        case AnyWords():
            return AnyOf(tuple(condition_of(part, names) for part in words.any))
        case NotWords():
            return Not(condition_of(words.not_, names))
        case ContactWords():
            return ContactIs(tuple(tests_of(words.contact, names.contact, "a contact", names.typing)))
        case EventWords():
            return _event(words, names)
        case SegmentWords():
            return segment_named(words.segment, names)
        case ListWords():
            return InList(str(words.list))
        case ReceivedWords():
            return _response(words, names)
        case _:
            return _person(words, names)


def _person(words: ConditionBase, names: Names) -> Condition:
    match words:
        case ReachableWords():
            return Reachable(words.reachable)
        case ConsentWords():
            return Consented(words.consent, _known(words.topic, "topic", names.topics, names))
        case EnrolledInWords():
            campaigns = [_known(name, "campaign", names.campaigns, names) for name in words.enrolled_in]
            return EnrolledIn(tuple(name for name in campaigns if name is not None), words.in_last)
        case TriggerWords():
            return TriggerIs(_trigger(words, names))
        case AnswerWords():
            return AnswerIs(_answer(words, names))
        case CouponWords():
            return _coupon(words, names)
        case SqlWords():
            return _sql(words.sql, names)
        case PeopleWords():
            word = next(head for head in PeopleWords.heads if words.has(head))
            return Later(word, str(getattr(words, word)))
        case _:
            raise AssertionError(f"the union of conditions has no {type(words).__name__}")


def _sql(text: Text, names: Names) -> Sql:
    try:
        checked(text)
    except RefusedSqlError as refused:
        names.wrong(text, str(refused), "an expression over core.contact, or SELECT … of contact ids")
    return Sql(str(text), f"{text.at.file}:{text.at.line}")


def pool_named(name: Text, names: Names) -> str:
    """The pool, if there is one."""
    if name not in names.pools:
        names.unknown(name, "pool of coupons", names.pools)
    return str(name)


def _coupon(words: CouponWords, names: Names) -> CouponIs:
    pool = names.pools.get(pool_named(words.coupon, names))
    if words.is_ == "expired" and pool is not None and pool.valid_for is None:
        expected = f"{pool.name}: {{valid_for: 30d}} in workspace.yaml"
        names.wrong(words.coupon, f'codes of "{pool.name}" are good for ever: none expires', expected)
    return CouponIs(str(words.coupon), words.is_, is_own=words.coupon in names.given)


def _known(name: Text | None, what: str, known: frozenset[str], names: Names) -> str | None:
    if name is not None and name not in known:
        names.unknown(name, what, known)
    return str(name) if name is not None else None


def segment_named(name: Text, names: Names) -> InSegment:
    """The segment, if there is one."""
    _known(name, "segment", names.segments, names)
    names.used_segments.add(name)
    return InSegment(str(name))


def event_fields(name: Text, names: Names) -> Mapping[str, Field] | None:
    """The declared properties of an event; None (and a problem) where it is unknown or not available yet."""
    fields = names.events.get(name)
    if fields is None:
        names.unknown(name, "event", names.events)
    elif not is_available(f"event.{name}"):
        note_later(names.typing.reading, name.at, name)
    return fields


def where_of(where: Mapping[Text, Any] | None, fields: Mapping[str, Field] | None, owner: str, names: Names) -> Where:
    """The typed tests; none where the event itself is unknown."""
    return tuple(tests_of(where, fields, owner, names.typing)) if where and fields is not None else ()


def _event(words: EventWords, names: Names) -> HasEvent:
    fields = event_fields(words.event, names)
    of = words.sum.of if words.sum is not None else None
    if of is not None and fields is not None and (of not in fields or fields[of].type not in ("number", "money")):
        names.wrong(of, f'"{of}" of {words.event} is not a number', "a field that is a number or money")
    return HasEvent(
        event=str(words.event),
        within=words.in_last,
        since=since_of(words.since, names),
        count=count_of(words.count, names),
        sum_of=str(of) if of is not None else None,
        sum=_sum(words, fields, names),
        where=where_of(words.where, fields, str(words.event), names),
        same=same_of(words.same, fields, names),
    )


def _sum(words: EventWords, fields: Mapping[str, Field] | None, names: Names) -> Compare | None:
    if words.sum is None:
        return None
    declared = (fields or {}).get(words.sum.of)
    compare = _compare(words.sum, names)
    return _in_cents(compare) if declared is not None and declared.type == "money" else compare


def _in_cents(compare: Compare) -> Compare:
    if isinstance(compare.value, tuple):
        return Compare(compare.op, (round(compare.value[0] * 100), round(compare.value[1] * 100)))
    return Compare(compare.op, round(compare.value * 100))


def since_of(name: Text | None, names: Names) -> str | None:
    """`entry` or the id of a step; a problem where there is no such step."""
    if name is None or name == "entry":
        return str(name) if name is not None else None
    if names.steps is None:
        names.wrong(name, "there are no steps here", "in_last: 90d")
        return None
    if name not in names.steps:
        names.unknown(name, "step", {"entry", *names.steps})
    return names.steps.get(name, str(name))


def count_of(raw: Node | None, names: Names) -> Compare:
    """`2` is exactly two, 0 is never, else a bound; at least one where nothing is written."""
    if raw is None:
        return AT_LEAST_ONE
    if isinstance(raw, Map):
        words, _ = read(CompareWords, raw, names.typing.reading)
        return _compare(words, names) if words is not None else AT_LEAST_ONE
    if isinstance(raw, Text):
        try:
            return Compare("is", parse_number(raw))
        except ValueError:
            names.wrong(raw, f'"{raw}" is not a number', "a number, or a bound such as {at_least: 2}")
        return AT_LEAST_ONE
    names.wrong(raw, "a list stands here", "a number, or a bound such as {at_least: 2}")
    return AT_LEAST_ONE


def _compare(words: CompareWords, names: Names) -> Compare:
    if words.between is not None and len(words.between) == 2:
        return Compare("between", (words.between[0], words.between[1]))
    if words.is_ is not None:
        return Compare("is", words.is_)
    for op in _BOUNDS:
        value = getattr(words, op)
        if value is not None:
            return Compare(op, value)
    names.typing.reading.note(words.place, 3, "there is no bound here", "a bound such as at_least: 2")
    return AT_LEAST_ONE


def same_of(raw: Node | None, fields: Mapping[str, Field] | None, names: Names) -> tuple[Same, ...]:
    """`same: cart_id`, or `same: {product_id: products.product_id}` (the trigger's field: the event's)."""
    if raw is None:
        return ()
    if isinstance(raw, Seq):
        return tuple(same for one in raw for same in same_of(one, fields, names))
    pairs = list(raw.items()) if isinstance(raw, Map) else [(raw, raw)]
    found = []
    for of_trigger, of_event in pairs:
        if not isinstance(of_event, Text):
            names.wrong(of_event, "this is not a field", "a field such as cart_id")
            continue
        if fields is not None and not _has_path(of_event, fields):
            names.unknown(of_event, "field", fields)
        if names.trigger is None:
            names.wrong(of_event, "nothing triggers this campaign, so nothing can be the same", "an entry by event")
        elif of_trigger not in names.trigger:
            names.unknown(of_trigger, "field of the trigger", names.trigger)
        found.append(Same(str(of_event), str(of_trigger)))
    return tuple(found)


def _has_path(path: str, fields: Mapping[str, Field]) -> bool:
    head, _, rest = path.partition(".")
    return head in fields and (not rest or rest in fields[head].things)


def _trigger(words: TriggerWords, names: Names) -> Where:
    if names.trigger is None:
        names.typing.reading.note(
            words.key_at("trigger"), 3, "nothing triggers here: `trigger` needs an entry by event", "contact or event"
        )
        return ()
    return where_of(words.trigger, names.trigger, "the trigger", names)


def _answer(words: AnswerWords, names: Names) -> Where:
    if names.answer is None:
        names.typing.reading.note(
            words.key_at("answer"), 3, "there is no answer: no `wait_for` in this journey waits for an event",
            "wait_for: [{if: {event: …}, then: …}, {after: 10d, then: …}]",
        )  # fmt: skip
        return ()
    return where_of(words.answer, names.answer, "the answer", names)


def _response(words: ReceivedWords, names: Names) -> Condition:
    what: Literal["received", "opened", "clicked"] = next(w for w in ("received", "opened", "clicked") if words.has(w))
    raw: Node | None = getattr(words, what)
    if isinstance(raw, Map):
        return _anywhere(what, raw, words, names)
    count = count_of(words.count, names)
    if not isinstance(raw, Text) or raw.absent:
        names.typing.reading.note(
            words.key_at(what), 3, f"{what} what?", "a step or message of this journey, any, or {channel: email}"
        )
        return Responded(what, "any", "", words.in_last, count)
    if raw == "any":
        return Responded(what, "any", "", words.in_last, count)
    return _in_journey(what, raw, words, names)


def _in_journey(
    what: Literal["received", "opened", "clicked"], name: Text, words: ReceivedWords, names: Names
) -> Responded:
    count = count_of(words.count, names)
    if names.steps is None:
        names.wrong(name, "there are no steps here", f"{{{what}: {{campaign: …}}}}, {{channel: …}} or {{topic: …}}")
        return Responded(what, "any", "", words.in_last, count)
    if name not in names.steps:
        names.unknown(name, "step or message", names.steps)
    if name in names.ours:
        names.wrong(name, f'"{name}" goes to one of ours: no contact has {what} it', "a message to the contact")
    step = names.steps.get(name, str(name))
    is_message = step in names.messages
    return Responded(what, "message" if is_message else "step", step, words.in_last, count)


def _anywhere(
    what: Literal["received", "opened", "clicked"], raw: Map, words: ReceivedWords, names: Names
) -> Responded:
    of, _ = read(ResponseOfWords, raw, names.typing.reading)
    if of is None:
        return Responded(what, "any")
    within, count = of.in_last or words.in_last, count_of(of.count if of.count is not None else words.count, names)
    named = [kind for kind in ("campaign", "channel", "topic") if getattr(of, kind) is not None]
    if len(named) > 1:
        names.typing.reading.note(
            of.key_at(named[1]), 3, f'"{named[0]}" and "{named[1]}" stand together', "one of them"
        )
    if of.campaign is not None:
        return Responded(what, "campaign", _known(of.campaign, "campaign", names.campaigns, names) or "", within, count)
    if of.channel is not None:
        return Responded(what, "channel", of.channel, within, count)
    if of.topic is not None:
        return Responded(what, "topic", _known(of.topic, "topic", names.topics, names) or "", within, count)
    return Responded(what, "any", "", within, count)
