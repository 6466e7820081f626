"""Parcels: what a connector makes ready before the claim, with the people left out whom it would never take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from carillon.delivery.model import Built, Needs, ReadyBatch
from carillon.delivery.protocol import Maker, Parcel, People, Shared
from carillon.kernel.channels import OURS

TEMPLATE_SKIP, RENDER_FAILED = "template_skip", "render_failed"
ERRORS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """A rendered batch before it is a parcel: row i of `people` is `enrolments[i]`."""

    message: Shared
    people: People
    enrolments: Sequence[int]
    skips: Mapping[int, str]
    """Enrolment → the reason's word, for people without a row."""
    valid_for_s: int | None = None


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """Nothing could be made of the batch as a whole: not its people's fault, so nobody of it is skipped."""

    batch_id: int
    reason: str


class BodyBuilder(Protocol):
    """What makes bodies of batches; called in a thread."""

    def build(self, batches: Sequence[ReadyBatch]) -> Sequence[Built | Unbuilt]:
        """One answer a batch, in their order."""
        ...


def make_parcel(connector: Maker, batch: ReadyBatch, letter: Letter, needs: Needs) -> Built | Unbuilt:
    """The connector's parcel; people it can never take are skipped, unless it takes none of several."""
    refused: dict[int, str] = {}
    kept = _takable(connector, letter, range(len(letter.people)), refused)
    if refused and not kept and len(letter.people) > 1:
        return Unbuilt(batch.id, next(iter(refused.values()))[:ERRORS_KEPT])
    skips = {e: f"skipped:{reason}" for e, reason in letter.skips.items()}
    skips |= {letter.enrolments[row]: f"skipped:{RENDER_FAILED}" for row in refused}
    whole = connector.capabilities.whole
    if kept is None:
        return Built(batch, (), (), (), needs, whole, skips)
    parcel, rows = kept
    enrolments, addresses = letter.enrolments, letter.people.addresses
    if len(rows) < len(letter.people):
        enrolments, addresses = [enrolments[row] for row in rows], [addresses[row] for row in rows]
    if batch.channel in OURS:  # the claim compares no address: it is none of the contact's
        addresses = [""] * len(rows)
    return Built(batch, parcel, enrolments, addresses, needs, whole, skips)


def _takable(
    connector: Maker, letter: Letter, rows: Sequence[int], refused: dict[int, str]
) -> tuple[Parcel, Sequence[int]] | None:
    """A parcel of those rows that the connector takes, found by halving; the others go into `refused`."""
    if not rows:
        return None
    try:
        return connector.build(letter.message, some_people(letter.people, rows), letter.valid_for_s), rows
    except ValueError as error:
        if len(rows) == 1:
            refused[rows[0]] = str(error)
            return None
    middle = len(rows) // 2
    found = [_takable(connector, letter, half, refused) for half in (rows[:middle], rows[middle:])]
    good = [row for half in found if half is not None for row in half[1]]
    if not good:
        return None
    return connector.build(letter.message, some_people(letter.people, good), letter.valid_for_s), good


def some_people(people: People, rows: Sequence[int]) -> People:
    """The columns of these rows, in ascending order."""
    if len(rows) == len(people):
        return people
    return People(
        [people.addresses[row] for row in rows],
        [people.cids[row] for row in rows],
        {tag: [column[row] for row in rows] for tag, column in people.values.items()},
        {name: [column[row] for row in rows] for name, column in people.headers.items()},
        people.spelling,
    )
