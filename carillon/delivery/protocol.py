"""What delivery asks of a connector. The consumer declares it; connectors translate, and decide nothing else.

A hand-over has two halves, because bodies are built *before* the claim and only cut afterwards: `build` turns a shared
message and columns of people into a parcel of ready fragments; `hand_over` sends some of its rows and says, in our
words, what became of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from carillon.kernel.channels import Channel
from carillon.kernel.spelling import Spelling


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do; what it cannot is refused when a plan is compiled."""

    channel: Channel
    whole: bool
    """True: one request carries many people and is accepted whole, so `hand_over` returns one outcome for all rows.
    False: people go one by one, and `hand_over` returns one outcome a row."""
    max_people: int
    """Most people in one batch (SendGrid: 1,000 recipients a request)."""
    max_bytes: int
    concurrency: int
    """Most requests in flight from one process."""
    substitutes: bool
    """True: the provider fills the tags of a shared body from each person's `values`; False: the connector does."""
    validity: bool
    """The provider can be told to give up after an instant."""
    feedback: bool
    """Outcomes come back by webhook."""
    spelling: Spelling = "plain"
    """How it wants the texts of people."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes: from `senders` in workspace.yaml."""

    address: str = ""
    name: str = ""
    reply_to: str = ""
    messaging_service: str = ""
    url: str = ""
    """Where a webhook posts to."""


@dataclass(frozen=True, slots=True)
class SharedEmail:
    """The part of an e-mail that all people of a batch share; `values` tags stand in it verbatim."""

    sender: Sender
    subject: str
    html: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedSms:
    """The text that all people of a batch share."""

    sender: Sender
    text: str
    status_callback: str = ""
    """Where the provider reports; the person's cid is appended as `?cid=`."""


@dataclass(frozen=True, slots=True)
class SharedCall:
    """A call to a system of ours: all of a person's body stands in `values`, under `BODY`."""

    sender: Sender


BODY = "body"
Shared = SharedEmail | SharedSms | SharedCall


@dataclass(frozen=True, slots=True)
class People:
    """Columns of one batch, all of the same length: row i is one person."""

    addresses: Sequence[str]
    cids: Sequence[str]
    """Our own id of each send (a token); travels as `custom_args.cid`, `StatusCallback?cid=` or a header."""
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Tag → its text for each person, already escaped for where the tag stands."""
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Header → its value for each person (List-Unsubscribe)."""
    spelling: Spelling = "plain"
    """How `values` are spelt: as the connector wants them, or plain."""

    def __len__(self) -> int:
        return len(self.addresses)


@dataclass(frozen=True, slots=True)
class Accepted:
    provider_ref: str
    rest_s: float | None = None
    """The provider says with it that its allowance is used up for so long."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider refused this person or request for good; nothing left."""

    reason: str
    code: str = ""
    invalid_address: bool = False
    suppressed: bool = False


Because = Literal["busy", "away", "person"]
"""busy: it has too much of us, so everybody goes slower · away: nobody answers, so everybody waits · person: this mailbox
or number only, the others fare better."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing left; try again (429, refused connection)."""

    reason: str
    retry_after_s: float | None = None
    because: Because = "busy"


@dataclass(frozen=True, slots=True)
class Divide:
    """The request as a whole was refused (400, 413) and held more than one person: halve it and try the parts."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """The connector itself is refused (401, 403): keep the sends, hold the connector, tell a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """It may have left and may not have (time-out, reset, 5xx): never repeat it blindly."""

    reason: str


Outcome = Accepted | Rejected | Deferred | Divide | Held | Unsure


@dataclass(frozen=True, slots=True)
class Account:
    """What a provider says of the keys that the settings name, asked without sending anything."""

    is_good: bool
    says: str
    do: str = ""
    """What to do where it is not good."""
    date: str = ""
    """The provider's own clock, as its Date header tells it."""


class Parcel(Protocol):
    """Ready fragments of one batch, opaque to delivery but for its length."""

    def __len__(self) -> int: ...


class Maker(Protocol):
    """The half of a connector that makes parcels."""

    capabilities: Capabilities

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Parcel:
        """Everything that can be prepared before the claim. Pure; raises ValueError for what the provider never takes."""
        ...


class Connector(Maker, Protocol):
    """One provider account. Made once a process by `assembly`, used from one event loop, closed at the end."""

    name: str

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """Send these rows of the parcel, once, now. Never raises for what the network or the provider does."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class MadeApart(Protocol):
    """A connector whose parcels may be made in another process."""

    def apart(self) -> Maker:
        """Makes parcels with the same bodies. It can be pickled, and so can they; it knows no keys of the account."""
        ...
