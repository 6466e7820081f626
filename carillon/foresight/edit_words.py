"""An edit's blast radius in sentences and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from carillon.foresight.edit import Edit, StepUnderWay
from carillon.kernel.clock import Micros, from_micros
from carillon.kernel.counting import people, verb

Span = tuple[Micros | None, Micros | None]


def edit_sentences(edit: Edit, timezone: str) -> Iterator[str]:
    """Who is under way and what changes for them, step by step."""
    zone = ZoneInfo(timezone)
    for step in edit.steps:
        yield from _step(step, zone)
    for old, new, n in edit.renamed:
        yield (
            f"{old} looks renamed: to those who enter anew {new} is another message, also to the {people(n)} who got "
            f"{old}; write `was: {old}` at {new} to keep them one"
        )


def _step(step: StepUnderWay, zone: ZoneInfo) -> Iterator[str]:
    where = f"{step.people:,} {verb(step.people, 'stand')} at {step.step_id} (version {step.version})"
    stay = step.people - step.moving
    if not step.moving:
        yield f"{where}: they finish on their version{', the new one has no such step' if step.is_gone else ''}"
        return
    goes_on = f"{step.moving:,} {verb(step.moving, 'go')} on in the new version"
    yield f"{where}: {goes_on}" + (f", {stay:,} {verb(stay, 'finish')} on theirs" if stay else "")
    if step.before != step.after:
        yield f"  due {_span(step.before, zone)}, then {_span(step.after, zone)}"
    for message, n in step.added.items():
        yield f"  + {message} for up to {n:,}"
    for message, n in step.dropped.items():
        yield f"  - {message} for up to {n:,}"


def _span(span: Span, zone: ZoneInfo) -> str:
    first, last = (f"{from_micros(at).astimezone(zone):%a %d %b %Y %H:%M}" if at is not None else "-" for at in span)
    return first if first == last else f"{first} to {last}"


def edit_json(edit: Edit) -> dict[str, object]:
    """The same for machines."""
    return {
        "people": edit.people,
        "steps": [
            {
                "step": s.step_id, "version": s.version, "people": s.people, "moving": s.moving, "is_gone": s.is_gone,
                "due_before": _isos(s.before), "due_after": _isos(s.after),
                "added": dict(s.added), "dropped": dict(s.dropped),
            }
            for s in edit.steps
        ],
        "renamed": [{"step": old, "looks_like": new, "people": n} for old, new, n in edit.renamed],
    }  # fmt: skip


def _isos(span: Span) -> list[str | None]:
    return [None if at is None else from_micros(at).isoformat() for at in span]
