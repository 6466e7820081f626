"""A campaign as its files say it, compiled and ready to be counted or applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from carillon.definition.entries import OnEvent
from carillon.definition.load import Loaded
from carillon.delivery.collected import COLLECTED, bundles_of
from carillon.journey.wake import waits_on
from carillon.kernel.problems import Problem
from carillon.messages.for_campaign import CampaignContents, contents_of
from carillon.plan.applied import ContentKey
from carillon.plan.compile import compile_plan, compile_rules
from carillon.plan.model import Plan
from carillon.plan.rules import Rules


@dataclass(frozen=True, slots=True)
class Draft:
    """Plan, house rules and contents of one campaign, from the files of a workspace."""

    plan: Plan
    rules: Rules
    contents: CampaignContents

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What its messages say that forbids applying it."""
        return tuple(p for p in self.contents.problems if p.severity == "error")


def draft_of(loaded: Loaded, campaign: str, links_before: Mapping[ContentKey, str] | None = None) -> Draft:
    """Compile one campaign of a workspace that `check` has passed; raises KeyError for a campaign that is not there.

    `links_before` are those of the contents now applied (`plan.applied.links_applied`).
    """
    definition = loaded.campaigns[campaign]
    plan = compile_plan(definition, loaded.segments, loaded.workspace)
    rules = compile_rules(loaded.workspace, loaded.segments)
    contents = contents_of(
        definition,
        plan,
        loaded.messages[campaign],
        rules,
        values=loaded.values,
        shared=loaded.shared,
        known=_known(loaded, plan),
        money_paths=_money_paths(loaded, plan),
        links_before=links_before,
    )
    return Draft(plan, rules, contents)


def _known(loaded: Loaded, plan: Plan) -> Mapping[str, Iterable[str] | None]:
    """The names that its messages may use: root → fields, None for any."""
    triggers = [loaded.data.events[e.event] for e in plan.entries if isinstance(e, OnEvent)]
    shared = set.intersection(*(set(fields) for fields in triggers)) if triggers else set[str]()
    return {
        "contact": tuple(loaded.data.contact),
        "trigger": tuple(sorted(shared | ({"collected"} if bundles_of(plan) else set()))),
        "answer": tuple(sorted({name for event in waits_on(plan).events for name in loaded.data.events[event]})),
    }


def _money_paths(loaded: Loaded, plan: Plan) -> tuple[str, ...]:
    """Which of these names are money: the store keeps cents, a message says amounts."""
    fields = {f"contact.{name}": field for name, field in loaded.data.contact.items()}
    for entry in plan.entries:
        if isinstance(entry, OnEvent):
            fields |= {f"trigger.{name}": field for name, field in loaded.data.events[entry.event].items()}
    for event in waits_on(plan).events:
        fields |= {f"answer.{name}": field for name, field in loaded.data.events[event].items()}
    whole = [path for path, field in fields.items() if field.type == "money"]
    lines = [
        f"{path}[].{name}" for path, f in fields.items() for name, part in f.things.items() if part.type == "money"
    ]
    collected = [
        f"{COLLECTED}[].{path.removeprefix('trigger.')}"
        for path in (*whole, *lines)
        if bundles_of(plan) and path.startswith("trigger.")
    ]
    return tuple(sorted({*whole, *lines, *collected}))
