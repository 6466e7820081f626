"""The words of `wait_for` → the step, and which events may be its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from carillon.definition.build_conditions import Names, condition_of, event_fields, same_of, where_of
from carillon.definition.campaign_words import StepBase, WaitForBranchWords, WaitForEventWords, WaitForWords
from carillon.definition.condition_words import AllWords, AnyWords, ConditionBase, EventWords
from carillon.definition.conditions import Compare, Condition, HasEvent, Not, Responded
from carillon.definition.model import Branch, Field, Step, WaitFor
from carillon.definition.step_ids import branch_name, branches_in
from carillon.kernel.durations import Span

Build = Callable[[list[StepBase]], tuple[Step, ...]]

_NONE = (Compare("is", 0), Compare("at_most", 0), Compare("under", 1))


def wait_for_of(words: WaitForWords, step_id: str, was: str | None, names: Names, build: Build) -> WaitFor:
    """The step; what makes no sense in it is noted."""
    if isinstance(words.wait_for, WaitForEventWords):
        return _of_event(words, words.wait_for, step_id, was, names, build)
    for key in ("then", "otherwise"):
        if words.has(key):
            names.typing.reading.note(
                words.key_at(key), 3, f"`{key}` stands beside a list, whose outcomes have their own",
                "then: … inside of each outcome; what all others get stands with `after`",
            )  # fmt: skip
    outcomes, at_most, late = list[Branch](), Span(), tuple[Step, ...]()
    for branch in words.wait_for:
        if branch.after is not None:
            at_most, late = branch.after, build(list(branch.then))
        elif branch.if_ is not None:
            condition = condition_of(branch.if_, names)
            _check_ahead(condition, branch, names)
            outcomes.append(Branch(branch_name(branch.if_), condition, build(list(branch.then))))
    _check_branches(words, words.wait_for, names)
    return WaitFor(step_id, tuple(outcomes), at_most, late, was)


def _of_event(
    words: WaitForWords, event: WaitForEventWords, step_id: str, was: str | None, names: Names, build: Build
) -> WaitFor:
    fields = event_fields(event.event, names)
    where, same = where_of(event.where, fields, str(event.event), names), same_of(event.same, fields, names)
    condition = HasEvent(str(event.event), where=where, same=same)
    outcome = Branch(f"event.{event.event}", condition, build(list(words.then or [])))
    return WaitFor(step_id, (outcome,), event.within, build(list(words.otherwise or [])), was)


def _check_branches(words: WaitForWords, branches: list[WaitForBranchWords], names: Names) -> None:
    reading, last = names.typing.reading, len(branches) - 1
    for place, branch in enumerate(branches):
        if branch.after is not None and (branch.if_ is not None or place != last):
            reading.note(branch.key_at("after"), 3, "`after` stands alone, at the end", "- {after: 10d, then: …}")
        elif branch.after is None and branch.if_ is None and branch.lacks("if") and branch.lacks("after"):
            reading.missing(branch.place, "what is waited for?", "{if: …, then: …}, at the end {after: 10d, then: …}")
    if words.is_whole and all(branch.is_whole for branch in branches) and not any(b.has("after") for b in branches):
        reading.note(
            words.key_at("wait_for"), 2, "`after` must be written: how long it is waited at most",
            "- {after: 10d, then: {exit: no_answer}}",
        )  # fmt: skip


def _check_ahead(condition: Condition, branch: WaitForBranchWords, names: Names) -> None:
    """What has not happened holds on arrival: nobody would ever wait."""
    never = isinstance(condition, Not) or (isinstance(condition, HasEvent | Responded) and condition.count in _NONE)
    if never:
        names.typing.reading.note(
            branch.key_at("if"), 3, "this holds on arrival already: `wait_for` waits for something to happen",
            "the event itself, and what others get with `after`",
        )  # fmt: skip


def answer_fields(journey: list[StepBase], names: Names) -> dict[str, Field] | None:
    """The properties of all events that may end a `wait_for`; None where none does."""
    events = [event for event in _awaited(journey) if event in names.events]
    if not events:
        return None
    return {name: field for event in events for name, field in names.events[event].items()}


def _awaited(steps: list[StepBase]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, WaitForWords):
            if isinstance(step.wait_for, WaitForEventWords):
                yield str(step.wait_for.event)
            else:
                yield from (event for branch in step.wait_for if branch.if_ for event in _events(branch.if_))
        for _, inside in branches_in(step):
            yield from _awaited(inside)


def _events(words: ConditionBase) -> Iterator[str]:
    match words:
        case EventWords():
            yield str(words.event)
        case AllWords():
            for part in words.all:
                yield from _events(part)
        case AnyWords():
            for part in words.any:
                yield from _events(part)
        case _:
            return
