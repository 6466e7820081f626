"""The words of a hand-over between delivery's own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from carillon.consent.permissions import ConsentKind
from carillon.definition.limits import Pace
from carillon.delivery.protocol import Outcome, Parcel
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND, Micros

BatchState = Literal["ready", "claimed", "accepted", "unsure", "closed", "withdrawn", "split"]
"""`withdrawn` also says that every person of the batch has an outcome of their own; `split`: all went to children."""

LEASE: Micros = 60 * SECOND
"""How long a claim holds, in machine time."""
LEAST_LEASE: Micros = 30 * SECOND
"""Who finds less than this left before the first byte gives the batch back: a hand-over may take as long."""
WINDOW = 64
"""People begun at once by a connector that sends one by one: so many are unsure after a crash."""


def window_of(per_minute: int | None) -> int:
    """The people of a second, where a provider wants less of us: else `WINDOW`."""
    return WINDOW if per_minute is None else max(1, min(WINDOW, per_minute // 60))


EXITED = "exited"
REJECTED = "rejected"


def skipped(reason: str) -> str:
    """The outcome of a send that was decided against, as `send.outcome` holds it."""
    return f"skipped:{reason}"


@dataclass(frozen=True, slots=True)
class ReadyBatch:
    """A batch that this worker has taken into hand; nothing is claimed yet."""

    id: int
    campaign_id: int
    node_id: int
    arm: str
    language: str
    channel: Channel
    sender: str
    connector: str
    n: int
    not_after: Micros | None
    resend_at: Micros | None = None
    """Since when it is wanted once more; None: nobody of it was ever handed over."""
    pace: Pace | None = None
    """The pace under which it was taken: under another one it must be taken anew."""
    texts_at: Micros | None = None
    """The edition of its texts; None: the newest."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The permission that a message needs: of which topic, and how a yes is read."""

    topic: str
    kind: ConsentKind
    is_one_of_several: bool = False
    """Where this channel is closed by now, another one may be open: the person is decided for anew."""


@dataclass(frozen=True, slots=True)
class Built:
    """A batch whose bodies are ready: row i of the parcel is the person `enrolments[i]`, in ascending order."""

    batch: ReadyBatch
    parcel: Parcel
    enrolments: Sequence[int]
    addresses: Sequence[str]
    needs: Needs
    whole: bool
    skips: Mapping[int, str] = field(default_factory=dict)
    """Enrolment → why the template withheld the message, for people who have no row."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch that is ours until its lease is over; `rows` are those of the parcel that may go out."""

    built: Built
    rows: Sequence[int]
    worker: str
    begun_at: Micros
    lease_until: Micros
    attempt: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Outcome → people who fell out at the claim or when the bodies were built."""
    per_minute: int | None = None
    """How many people a minute go while the provider wants less; None: as many as it takes."""

    @property
    def id(self) -> int:
        return self.built.batch.id

    @property
    def window(self) -> int:
        """How many people begin at once where they go one by one."""
        return window_of(self.per_minute)


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing left and nothing was refused: the batch goes back as it was."""

    reason: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a claimed batch, or of the rest of one that goes person by person."""

    claimed: Claimed
    whole: Outcome | Released | None = None
    """One outcome for everybody that was handed over."""
    people: Mapping[int, Outcome] = field(default_factory=dict)
    """Enrolment → outcome, where people go one by one: those that no earlier window has settled."""
    window: int | None = None
    """Not the end yet: the enrolment through which the next window begins."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did: people by the ledger's words, and what follows from it."""

    won: bool
    people: Mapping[str, int] = field(default_factory=dict)
    held: str | None = None
    made_ready: bool = False
    """There are batches to take at once: halves of a divided one."""
    lease_until: Micros = 0


@dataclass(frozen=True, slots=True)
class WorkResult:
    """What one `work` did, in people by the ledger's words; sums of nothing are left out."""

    batches: int = 0
    people: Mapping[str, int] = field(default_factory=dict)
    """accepted, rejected, unsure, deferred, released, exited, skipped:<reason> → people."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Connector → why it takes nothing until a person looks."""
    unbuilt: Mapping[int, str] = field(default_factory=dict)
    """Batch → why no body could be made of it; it is tried again."""
    retry_at: Micros | None = None
    """Machine time at which the first deferred batch may be tried again."""

    @property
    def accepted(self) -> int:
        return self.people.get("accepted", 0)

    @property
    def unsure(self) -> int:
        return self.people.get("unsure", 0)
