"""What the steps of a journey are called: by their message, else by their word and what stands before them, never by
their position. A person's place in a journey is kept by these ids across versions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from carillon.definition.campaign_words import (
    ChooseWords,
    EnterWords,
    ExitWords,
    FirstReachableWords,
    MessageStepWords,
    SplitWords,
    StepBase,
    WaitForWords,
)
from carillon.definition.condition_words import (
    AllWords,
    ConditionBase,
    ContactWords,
    EventWords,
    ReceivedWords,
    SegmentWords,
    TriggerWords,
)
from carillon.definition.nodes import Text
from carillon.definition.scalars import Reading
from carillon.kernel.channels import OURS
from carillon.kernel.problems import Position

MESSAGE_WORDS = ("email", "sms", "push", "whatsapp", "webhook", "notify")
REACH_WORDS = MESSAGE_WORDS[:4]


@dataclass(slots=True)
class StepIds:
    """The ids of a journey's steps, and what a condition may call them."""

    by_words: dict[int, str] = field(default_factory=dict)
    """id() of the step's words → step id."""
    places: dict[str, Position] = field(default_factory=dict)
    senders: dict[str, list[str]] = field(default_factory=dict)
    """Message → ids of the steps that send it to the contact."""
    pools: set[str] = field(default_factory=set)
    """The pools of coupons that steps give codes of."""
    ours: set[str] = field(default_factory=set)
    """Ids of the steps that reach one of ours: nobody receives, opens or clicks what they send."""

    def of(self, words: StepBase) -> str:
        return self.by_words[id(words)]

    def lookup(self) -> dict[str, str]:
        """Step id or message → step id; a message of several steps stands for itself."""
        messages = {name: ids[0] if len(ids) == 1 else name for name, ids in self.senders.items()}
        return {**messages, **{step: step for step in self.places}}

    def shared_messages(self) -> frozenset[str]:
        """Messages that several steps send."""
        return frozenset(name for name, ids in self.senders.items() if len(ids) > 1 and name not in self.places)


def name_steps(journey: list[StepBase], reading: Reading) -> StepIds:
    """Ids for all steps; two alike are a problem."""
    ids = StepIds()
    _name(journey, "entry", ids, reading)
    return ids


def _name(steps: list[StepBase], branch: str, ids: StepIds, reading: Reading) -> None:
    before = branch
    for step in steps:
        step_id = str(step.id) if step.id is not None else _own_name(step) or f"{step_word(step)}.{before}"
        _remember(step, step_id, ids, reading)
        inside = list(branches_in(step))
        if inside or sent_by(step):
            before = step_id
        for name, steps_inside in inside:
            _name(steps_inside, name, ids, reading)


def _remember(step: StepBase, step_id: str, ids: StepIds, reading: Reading) -> None:
    ids.by_words[id(step)] = step_id
    if isinstance(step, MessageStepWords | FirstReachableWords) and step.coupon is not None:
        ids.pools.add(str(step.coupon))
    for channel, message in sent_by(step):
        if channel in OURS:
            ids.ours.add(step_id)
            continue
        ids.senders.setdefault(str(message), []).append(step_id)
    first = ids.places.setdefault(step_id, step.place)
    if first is not step.place:
        reading.note(
            step.place,
            5,
            f'two steps are called "{step_id}"; the first on line {first.line}',
            suggestion="write an id beside one of them: id: NAME",
        )


def step_word(step: StepBase) -> str:
    """The word that the step begins with."""
    return next(head for head in type(step).heads if step.has(head))


def sent_by(step: StepBase) -> list[tuple[str, Text]]:
    """(channel, message) of what the step may send."""
    if isinstance(step, MessageStepWords):
        return [(word, getattr(step, word)) for word in MESSAGE_WORDS if getattr(step, word) is not None]
    if isinstance(step, FirstReachableWords):
        return [
            (w, getattr(one, w)) for one in step.first_reachable for w in REACH_WORDS if getattr(one, w) is not None
        ]
    return []


def _own_name(step: StepBase) -> str | None:
    match step:
        case MessageStepWords() | FirstReachableWords():
            return next((f"{channel}.{message}" for channel, message in sent_by(step)), None)
        case ExitWords():
            return f"exit.{step.exit}"
        case EnterWords():
            return f"enter.{step.enter}"
        case _:
            return None


def branches_in(step: StepBase) -> Iterator[tuple[str, list[StepBase]]]:
    """(name, steps) of each branch inside the step's words."""
    match step:
        case ChooseWords():
            for branch in step.choose:
                name = "otherwise" if branch.if_ is None else branch_name(branch.if_)
                yield name, list(branch.then or branch.otherwise or [])
        case SplitWords():
            for arm, words in step.split.items():
                yield str(arm), list(words.then)
        case WaitForWords():
            if isinstance(step.wait_for, list):
                for one in step.wait_for:
                    yield "after" if one.if_ is None else branch_name(one.if_), list(one.then)
            yield "then", list(step.then or [])
            yield "otherwise", list(step.otherwise or [])
        case _:
            return


def branch_name(words: ConditionBase) -> str:
    """The condition's word and what it is about: `clicked.sale`, `event.order_completed`."""
    match words:
        case AllWords() if len(words.all) == 1:
            return branch_name(words.all[0])
        case ReceivedWords():
            what = next(head for head in ReceivedWords.heads if words.has(head))
            of = getattr(words, what)
            return f"{what}.{of if isinstance(of, Text) else next(iter(of or ['any']))}"
        case EventWords():
            return f"event.{words.event}"
        case SegmentWords():
            return f"segment.{words.segment}"
        case ContactWords():
            return f"contact.{next(iter(words.contact), '')}"
        case TriggerWords():
            return f"trigger.{next(iter(words.trigger), '')}"
        case _:
            return next(head for head in type(words).heads if words.has(head))


def repeated(names: list[Text]) -> list[Text]:
    """The names that stood before, at their second place."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        if seen[name] == 2:
            found.append(name)
    return found
