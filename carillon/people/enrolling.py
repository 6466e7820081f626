"""`--enrol`: how many people of a file may enter which campaign, counted before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from carillon.kernel.clock import Micros
from carillon.people.importing import ImportPlan, read_chunks
from carillon.people.telling import CREATED, SIGNED_UP, SUBSCRIBED


class Listening(NamedTuple):
    """An applied campaign that takes people in by events of a kind that happened later than `after`."""

    campaign: str
    kind: str
    after: Micros


def may_enrol(plan: ImportPlan, listening: Sequence[Listening]) -> dict[str, int]:
    """Campaign → the people of the file who could enter, audience and `where` not asked: at most so many."""
    found: dict[str, set[str]] = {one.campaign: set() for one in listening}
    for read in read_chunks(plan):
        for row in read.rows:
            for shop_id, kind, at in _happenings(row, plan):
                for one in listening:
                    if one.kind == kind and one.after < at <= plan.at:
                        found[one.campaign].add(shop_id)
    return {campaign: len(people) for campaign, people in found.items()}


def _happenings(row: Any, plan: ImportPlan) -> Iterator[tuple[str, str, Micros]]:
    """(contact, kind, instant) of every event that comes of a row."""
    match plan.kind:
        case "events":
            occurred_at, _, kind, shop_id = row[:4]  # a plain tuple in the order of ArrivedEvent: there are millions
            yield shop_id, kind, occurred_at
        case "contacts":
            yield row.shop_id, CREATED, plan.at if row.created_at is None else row.created_at
            for wish in row.consents:
                if wish.state != "no":
                    yield row.shop_id, _said(wish, plan), plan.at if wish.at is None else wish.at
        case "consents":
            if row.state != "no":
                yield row.shop_id, _said(row, plan), row.at
        case "suppressions" | "list":
            return


def _said(wish: Any, plan: ImportPlan) -> str:
    asks = wish.state == "yes" and (wish.topic, wish.channel) in plan.rules.double
    return SIGNED_UP if asks else SUBSCRIBED
