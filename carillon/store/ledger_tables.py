"""Part ledger: who stands where and what left."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint, String, UniqueConstraint, text
from sqlmodel import SQLModel

from carillon.store.columns import (
    channel_number,
    document,
    key,
    maybe_number,
    maybe_text,
    narrow,
    number,
    part,
    row_id,
    words,
)


class Wave(SQLModel, table=True):
    """One occurrence of an entry; its key makes repeating an entry harmless."""

    __tablename__ = "wave"
    __table_args__ = part("ledger", UniqueConstraint("campaign_id", "entry", "ref", name="uq_wave"))
    id: int | None = row_id()
    campaign_id: int = number()
    entry: str = words()  # kind and subject: at, every, event:cart_updated, api
    ref: str = words()  # instant, local day, intake, caller's key
    snapshot_at: int = number()
    n: int = number(default=0)
    left_out: dict[str, Any] = document()  # reason → people who matched and did not enter


class Ripening(SQLModel, table=True):
    """A thing that something happened to, until it has been idle for long enough or the collection is over."""

    __tablename__ = "ripening"
    __table_args__ = part("ledger", Index("ix_ripening_ripe", "campaign_id", "entry", "ripe_at"), rowid=False)
    campaign_id: int = key()
    entry: str = key(String)
    contact_id: int = key()
    thing: str = key(String)
    first_at: int = number()
    last_at: int = number()
    event_at: int | None = maybe_number()  # key of the newest event
    event_hash: int | None = maybe_number()
    ripe_at: int = number(default=0)


class Watch(SQLModel, table=True):
    """What an entry that takes in who joins or leaves a segment has seen so far."""

    __tablename__ = "watch"
    __table_args__ = part("ledger", rowid=False)
    campaign_id: int = key()
    entry: str = key(String)
    condition: str = words()  # its hash: another one is another segment, whose members did not join
    began_at: int = number()
    asked_at: int = number()  # when everybody was asked last


class Member(SQLModel, table=True):
    """Who is in the segment by what the entry knows."""

    __tablename__ = "member"
    __table_args__ = part("ledger", rowid=False)
    campaign_id: int = key()
    entry: str = key(String)
    contact_id: int = key()
    waiting: int = number()  # 1: was in it from the beginning and is to be taken in, some a day


class Enrolment(SQLModel, table=True):
    """One contact's way through one campaign version."""

    __tablename__ = "enrolment"
    __table_args__ = part(
        "ledger",
        UniqueConstraint("campaign_id", "contact_id", "thing", "wave_id", name="uq_enrolment"),
        Index(
            "uq_enrolment_live", "campaign_id", "contact_id", "thing", unique=True,
            sqlite_where=text("state = 'live'"), postgresql_where=text("state = 'live'"),
        ),
        # By version, too: whether anybody is left on an older one is one look, however many are under way.
        Index(
            "ix_enrolment_stand", "node_id", "version_id", "due_at",
            sqlite_where=text("state = 'live'"), postgresql_where=text("state = 'live'"),
        ),
    )  # fmt: skip
    id: int | None = row_id()
    campaign_id: int = number()
    version_id: int = number()
    wave_id: int = number()
    contact_id: int = number()
    thing: str = words("")
    role: str = words("treated")  # treated | held_campaign | held_global
    node_id: int | None = maybe_number()  # where it stands; null once done
    arrived_at: int = number()
    due_at: int | None = maybe_number()  # null: waits for an event, a leader, or a send in flight
    state: str = words("live")  # live | done
    exit_code: str | None = maybe_text()  # finished, goal, exit reasons
    ended_at: int | None = maybe_number()
    entered_at: int = number()
    moved_node: int | None = maybe_number()  # where it stood when it came onto this version; -1: not written down then
    trigger_at: int | None = maybe_number()  # key of the newest event of this enrolment's thing
    trigger_hash: int | None = maybe_number()
    answer_at: int | None = maybe_number()  # key of the event that ended the last wait_for
    answer_hash: int | None = maybe_number()
    collected_from: int | None = maybe_number()  # `collect`: the first event of the bundle whose newest is the trigger


class Passage(SQLModel, table=True):
    """Which branch an enrolment took; one row each."""

    __tablename__ = "passage"
    __table_args__ = part("ledger", rowid=False)
    node_id: int = key()
    enrolment_id: int = key()
    branch: str = words()
    at: int = number()


class Moved(SQLModel, table=True):
    """Who was moved onto a newer version, from which, where they stood, and what was due before and after it."""

    __tablename__ = "moved"
    __table_args__ = part("ledger", rowid=False)
    enrolment_id: int = key()
    to_version: int = key()
    from_version: int = number()  # 0: it was not written down then
    node_id: int = number()
    at: int = number()
    due_before: int | None = maybe_number()
    due_at: int | None = maybe_number()


WEEK = 604_800_000_000
"""Weeks of 1970 on: by them PostgreSQL's index of a person's sends is kept, and read."""


class Send(SQLModel, table=True):
    """The row of record. (node, enrolment) is its whole identity; state = coalesce(outcome, batch.state)."""

    __tablename__ = "send"
    __table_args__ = part(
        "ledger",
        PrimaryKeyConstraint("node_id", "enrolment_id"),
        Index("ix_send_batch", "batch_id"),
        # SQLite reads a person's sends in the index alone; PostgreSQL reads rows anyhow, and keeps those that are equal once.
        Index("ix_send_contact", "contact_id", "due_at", "batch_id", "outcome", "channel", info={"only": "sqlite"}),
        Index("ix_send_person", "contact_id", text(f"(due_at / {WEEK})"), info={"only": "postgresql"}),
        rowid=False,
    )
    # Wide columns first, and none wider than it must be: what lies between them is filled up on PostgreSQL.
    enrolment_id: int = number()
    contact_id: int = number()
    due_at: int = number()
    decided_at: int | None = maybe_number()  # null: with its batch
    batch_id: int | None = maybe_number()
    node_id: int = narrow()
    channel: str = channel_number()
    arm: str = words("")
    outcome: str | None = maybe_text()  # skipped:<reason> | ghost | rejected | exited … ; null: as its batch


OPEN_BATCH = "state IN ('ready', 'claimed', 'unsure')"
"""Not settled; in these words SQLite finds them by their index."""
LATE_BATCH = "claimed_at > due_at + 900000000"
"""Handed over more than `policy.scan.PUNCTUAL` after it was due: few, so that their index is small."""
WITHDRAWN_BATCH = "state = 'withdrawn' AND n > 0"
"""Stopped before it left; what was released has no people any more."""


class Batch(SQLModel, table=True):
    """Sends handed over together."""

    __tablename__ = "batch"
    __table_args__ = part(
        "ledger",
        Index(
            "ix_batch_ready", "state", "due_at",
            sqlite_where=text(OPEN_BATCH), postgresql_where=text(OPEN_BATCH),
        ),
        Index("ix_batch_late", "claimed_at", sqlite_where=text(LATE_BATCH), postgresql_where=text(LATE_BATCH)),
        Index(
            "ix_batch_withdrawn", "decided_at",
            sqlite_where=text(WITHDRAWN_BATCH), postgresql_where=text(WITHDRAWN_BATCH),
        ),
    )  # fmt: skip
    id: int | None = row_id()
    campaign_id: int = number()
    node_id: int = number()
    arm: str = words("")
    language: str = words("")
    shape: str = words("")
    channel: str = words("")
    sender: str = words("")
    connector: str = words("")
    n: int = number(default=0)
    price_micro: int = number(default=0)  # planned, a person: what is released gives back n times as much
    priority: int = number(default=50)
    due_at: int = number()
    decided_at: int = number()
    not_after: int | None = maybe_number()
    texts_at: int | None = maybe_number()  # the edition it is built from; null: the newest when it is built
    state: str = words("ready")  # ready | claimed | accepted | unsure | closed | withdrawn | split
    worker: str | None = maybe_text()
    lease_until: int | None = maybe_number()  # machine time
    claimed_at: int | None = maybe_number()  # campaign time
    begun_at: int | None = maybe_number()  # machine time; null: no byte can have left
    begun_through: int | None = maybe_number()  # one by one: people up to this enrolment id may have left
    settled_at: int | None = maybe_number()  # campaign time
    resend_at: int | None = (
        maybe_number()
    )  # campaign time; wanted to be sent again: decided from then on, ready if it may
    ask_at: int | None = maybe_number()  # campaign time; from then on its conditions are asked again; null: it has none
    retry_at: int | None = maybe_number()  # machine time
    provider_ref: str | None = maybe_text()
    note: str | None = maybe_text()
    parent_id: int | None = maybe_number()
    deferrals: int = number(default=0)  # in a row; children go on counting
    coupon: str | None = maybe_text()  # the pool of which each of its people holds a code


class Attempt(SQLModel, table=True):
    __tablename__ = "attempt"
    __table_args__ = part("ledger", rowid=False)
    batch_id: int = key()
    no: int = key()
    began_at: int = number()
    ended_at: int | None = maybe_number()
    status: str | None = maybe_text()
    provider_ref: str | None = maybe_text()
    note: str | None = maybe_text()


class Receipt(SQLModel, table=True):
    """The provider's id of one person's message, where people go one by one."""

    __tablename__ = "receipt"
    __table_args__ = part("ledger", Index("ix_receipt_ref", "provider_ref"), rowid=False)
    node_id: int = key()
    enrolment_id: int = key()
    provider_ref: str = words()


class Refusal(SQLModel, table=True):
    """An address that a provider refused for good, until core knows it: gone as soon as it is suppressed there."""

    __tablename__ = "refusal"
    __table_args__ = part("ledger")
    id: int | None = row_id()
    channel: str = words()
    address_key: str = words()
    reason: str = words()
    at: int = number()  # campaign time


class Leader(SQLModel, table=True):
    __tablename__ = "leader"
    __table_args__ = part("ledger", rowid=False)
    experiment: str = key(String)
    wave_id: int = key()
    arm: str = words()  # '' = the rest is split
    decided_at: int = number()
    evidence: dict[str, Any] = document()


class Look(SQLModel, table=True):
    __tablename__ = "look"
    __table_args__ = part("ledger", rowid=False)
    experiment: str = key(String)
    no: int = key()
    at: int = number()
    result: dict[str, Any] = document()


class Approval(SQLModel, table=True):
    __tablename__ = "approval"
    __table_args__ = part("ledger", rowid=False)
    campaign_id: int = key()
    meaning: str = key(String)
    wave: str = key(String)  # '' = all of this meaning
    by: str = words()
    at: int = number()


HELD_CODE = "enrolment_id IS NOT NULL"


class Coupon(SQLModel, table=True):
    """A code, and whose it is: nobody's, or one enrolment's, from the decision on."""

    __tablename__ = "coupon"
    __table_args__ = part(
        "ledger",
        Index("uq_coupon_enrolment", "pool", "enrolment_id", unique=True),
        Index("ix_coupon_state", "pool", "state", "code"),
        # Whose the code in an order is, in capitals as redemptions are kept: of those that are somebody's.
        Index("ix_coupon_spelt", text("upper(code)"), sqlite_where=text(HELD_CODE), postgresql_where=text(HELD_CODE)),
        rowid=False,
    )
    pool: str = key(String)
    code: str = key(String)
    enrolment_id: int | None = maybe_number()
    state: str = words("free")  # free | set_aside | unsure | used
    at: int | None = maybe_number()  # campaign time at which it was set aside
    valid_until: int | None = maybe_number()  # null: for ever


class Spent(SQLModel, table=True):
    """Planned costs by quarter of an hour (UTC): every zone's days, weeks and months are whole numbers of them."""

    __tablename__ = "spent"
    __table_args__ = part("ledger", rowid=False)
    period: str = key(String)
    campaign_id: int = key()
    amount_micro: int = number(default=0)  # millionths of the currency unit: an e-mail costs a fraction of a cent


class Pace(SQLModel, table=True):
    """The token bucket of a connector, in machine time, shared by all workers."""

    __tablename__ = "pace"
    __table_args__ = part("ledger", rowid=False)
    connector: str = key(String)
    tokens: int = number(default=0)
    at: int = number()
    held_reason: str | None = maybe_text()
    warm_since: int | None = maybe_number()  # machine time of the first hand-over while it warms up
    rest_until: int | None = maybe_number()  # machine time; nothing is begun before it
    strikes: int = number(default=0)  # how often in a row the provider asked for less, or was away
    rate: int | None = maybe_number()  # people a minute after the newest cut; null: no brake
    rate_before: int | None = maybe_number()  # people a minute before it
    cut_at: int | None = maybe_number()  # machine time of the newest cut


class Lease(SQLModel, table=True):
    __tablename__ = "lease"
    __table_args__ = part("ledger", rowid=False)
    name: str = key(String)
    holder: str = words()
    until: int = number()  # machine time


class LedgerCursor(SQLModel, table=True):
    __tablename__ = "cursor"
    __table_args__ = part("ledger", rowid=False)
    consumer: str = key(String)
    signal_id: int = number(default=0)
