"""The tables in their final layout, in three parts: core, events, ledger (docs/architecture.md).

On PostgreSQL the parts are schemas; on SQLite each is a file of its own, attached under the same name, so the same SQL
runs on both. Ids are dense 64-bit integers, instants 64-bit microseconds UTC, money integer cents. Models describe and
migrate; hot paths use the `Table` objects at the end of this page with SQLAlchemy Core.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

Int64 = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is spelt INTEGER."""
Document = JSON().with_variant(JSONB(), "postgresql")


def _id() -> Any:
    return Field(default=None, sa_column=Column("id", Int64, primary_key=True, autoincrement=True))


def _key(kind: Any = Int64) -> Any:
    return Field(sa_column=Column(kind, primary_key=True, autoincrement=False, nullable=False))


def _int(*, default: int | None = None) -> Any:
    return Field(
        default=default,
        sa_column=Column(Int64, nullable=False, server_default=None if default is None else str(default)),
    )


def _maybe_int() -> Any:
    return Field(default=None, sa_column=Column(Int64, nullable=True))


def _text(default: str | None = None) -> Any:
    return Field(default=default, sa_column=Column(String, nullable=False, server_default=default))


def _maybe_text() -> Any:
    return Field(default=None, sa_column=Column(String, nullable=True))


def _document() -> Any:
    return Field(default_factory=dict, sa_column=Column(Document, nullable=False))


def _part(schema: str, *items: Any, rowid: bool = True) -> tuple[Any, ...]:
    return (*items, {"schema": schema, "sqlite_with_rowid": rowid})


# ------------------------------------------------------------------------------------------------------------- core


class Contact(SQLModel, table=True):
    """A person we may write to. `attrs` holds every field of data.yaml and the names, as JSON."""

    __tablename__ = "contact"
    __table_args__ = _part(
        "core",
        UniqueConstraint("shop_id", name="uq_contact_shop_id"),
        Index("ix_contact_email", "email_key"),
        Index("ix_contact_phone", "phone_key"),
    )
    id: int | None = _id()
    shop_id: str = _text()
    email_key: str | None = _maybe_text()  # as sent to: trimmed, domain in lower case ASCII, local part in lower case
    phone_key: str | None = _maybe_text()  # E.164
    invalid_bits: int = _int(default=0)  # 1 << CHANNEL_NUMBER: an address was given that cannot be one
    country: str | None = _maybe_text()  # ISO 3166-1 alpha-2
    language: str | None = _maybe_text()  # as given; the effective one stands in `standing`
    zone: str = _text()  # IANA name, always resolved
    zone_source: str = _text()  # contact | phone | country | workspace
    h31: int = _int()
    created_at: int = _int()
    attrs: dict[str, Any] = _document()
    merged_into: int | None = _maybe_int()
    erased_at: int | None = _maybe_int()


class ContactChange(SQLModel, table=True):
    """Append-only history of field changes."""

    __tablename__ = "contact_change"
    __table_args__ = _part("core", Index("ix_contact_change_contact", "contact_id", "at"))
    id: int | None = _id()
    contact_id: int = _int()
    at: int = _int()
    field: str = _text()
    old: str | None = _maybe_text()
    new: str | None = _maybe_text()
    source: str = _text()


class Permission(SQLModel, table=True):
    """The bit of `standing.allow_bits` and `deny_bits` that a (topic, channel) pair got when it was first named."""

    __tablename__ = "permission"
    __table_args__ = _part("core", UniqueConstraint("topic", "channel", name="uq_permission"))
    bit: int = _key()
    topic: str = _text()
    channel: str = _text()


class Consent(SQLModel, table=True):
    """Append-only: contact × topic × channel, with evidence. The newest `at` (then id) rules."""

    __tablename__ = "consent"
    __table_args__ = _part("core", Index("ix_consent_contact", "contact_id", "topic", "channel", "at"))
    id: int | None = _id()
    contact_id: int = _int()
    topic: str = _text()
    channel: str = _text()
    state: str = _text()  # yes | confirmed | no
    source: str = _text()
    evidence: str = _text("")
    at: int = _int()


class Suppression(SQLModel, table=True):
    """An address never written to, independent of consent; `lifted_at` ends it."""

    __tablename__ = "suppression"
    __table_args__ = _part("core", rowid=False)
    address_key: str = _key(String)
    channel: str = _text()
    reason: str = _text()
    at: int = _int()
    lifted_at: int | None = _maybe_int()


class Standing(SQLModel, table=True):
    """Folded in the same transaction as contact, consent and suppression: the one row that policy reads."""

    __tablename__ = "standing"
    __table_args__ = _part("core", rowid=False)
    contact_id: int = _key()
    zone: str = _text()
    language: str = _text()  # effective: contact's, else by country, else the workspace's first
    country: str = _text("")
    allow_bits: int = _int(default=0)  # Permission.bit: a yes that suffices (confirmed where the topic says double)
    deny_bits: int = _int(default=0)  # Permission.bit: a no
    closed_bits: int = _int(default=0)  # kernel.channels.closed_bit
    h31: int = _int()


class Campaign(SQLModel, table=True):
    __tablename__ = "campaign"
    __table_args__ = _part("core", UniqueConstraint("name", name="uq_campaign_name"))
    id: int | None = _id()
    name: str = _text()
    was: str | None = _maybe_text()
    wanted_state: str = _text("live")  # of the YAML: draft | live | ended
    operator_state: str = _text("running")  # running | paused | stopped
    hold_reason: str | None = _maybe_text()  # the engine's brake: needs a person's yes
    live_version: int | None = _maybe_int()
    first_applied_at: int | None = _maybe_int()


class Version(SQLModel, table=True):
    """One meaning of a campaign. Contacts finish on the version that they entered."""

    __tablename__ = "version"
    __table_args__ = _part("core", UniqueConstraint("campaign_id", "meaning", name="uq_version_meaning"))
    id: int | None = _id()
    campaign_id: int = _int()
    meaning: str = _text()
    plan_json: str = _text()
    planned_audience: int | None = _maybe_int()
    applied_at: int = _int()
    applied_by: str = _text("")


class Node(SQLModel, table=True):
    """A step by its id, shared by all versions and never deleted."""

    __tablename__ = "node"
    __table_args__ = _part("core", UniqueConstraint("campaign_id", "step_id", name="uq_node_step"))
    id: int | None = _id()
    campaign_id: int = _int()
    step_id: str = _text()
    kind: str = _text()


class Content(SQLModel, table=True):
    """A compiled message by its hash: what is rendered, and the links in it (`n` of `/c/<token>/<n>` is the index)."""

    __tablename__ = "content"
    __table_args__ = _part("core", UniqueConstraint("hash", name="uq_content_hash"))
    id: int | None = _id()
    hash: str = _text()
    compiled: str = _text()
    links: str = _text("[]")


class NodeContent(SQLModel, table=True):
    """The newest applied content of a node for an arm, channel and language."""

    __tablename__ = "node_content"
    __table_args__ = _part("core", rowid=False)
    node_id: int = _key()
    arm: str = _key(String)  # '' where there is no test
    channel: str = _key(String)
    language: str = _key(String)
    content_id: int = _int()
    applied_at: int = _int()


class Membership(SQLModel, table=True):
    """Stored members of a segment, for entries that join and leave."""

    __tablename__ = "membership"
    __table_args__ = _part("core", rowid=False)
    segment: str = _key(String)
    contact_id: int = _key()


class ListMember(SQLModel, table=True):
    __tablename__ = "list_member"
    __table_args__ = _part("core", rowid=False)
    list: str = _key(String)
    contact_id: int = _key()


class ZonePeriod(SQLModel, table=True):
    """Local time in SQL: in [from_utc, to_utc) the zone's clock is UTC + offset; local_from is from_utc + offset."""

    __tablename__ = "zone_period"
    __table_args__ = _part("core", rowid=False)
    zone: str = _key(String)
    from_utc: int = _key()
    to_utc: int = _int()
    offset: int = _int()


class Experiment(SQLModel, table=True):
    """A registered question: its metric and looks are written before the first send and never changed."""

    __tablename__ = "experiment"
    __table_args__ = _part("core", UniqueConstraint("name", name="uq_experiment_name"))
    id: int | None = _id()
    name: str = _text()  # campaign/step
    node_id: int = _int()
    metric: str = _text()
    arms: str = _text("[]")
    looks: str = _text("[]")
    registered_at: int = _int()


class Audit(SQLModel, table=True):
    __tablename__ = "audit"
    __table_args__ = _part("core")
    id: int | None = _id()
    at: int = _int()
    who: str = _text()
    what: str = _text()
    subject: str = _text()
    details: str = _text("")


class CoreCursor(SQLModel, table=True):
    """How far core has taken over the signals, moved in the transaction of the effect."""

    __tablename__ = "cursor"
    __table_args__ = _part("core", rowid=False)
    consumer: str = _key(String)
    signal_id: int = _int(default=0)


class Setting(SQLModel, table=True):
    """Facts of this store: the workspace it belongs to, tzdata's version, the store's own layout."""

    __tablename__ = "setting"
    __table_args__ = _part("core", rowid=False)
    name: str = _key(String)
    value: str = _text()


# ----------------------------------------------------------------------------------------------------------- events


class Intake(SQLModel, table=True):
    """One commit of arriving things."""

    __tablename__ = "intake"
    __table_args__ = _part(
        "events",
        Index("ix_intake_new", "id", sqlite_where=text("state = 'new'"), postgresql_where=text("state = 'new'")),
    )
    id: int | None = _id()
    received_at: int = _int()
    source: str = _text()
    n: int = _int(default=0)
    state: str = _text("new")  # new | folded
    history: int = _int(default=0)  # 1: an import of the past, which never enrols


class Event(SQLModel, table=True):
    """What a contact did (`order_completed`) or what became of a send (`message.clicked`)."""

    __tablename__ = "event"
    __table_args__ = _part(
        "events",
        Index("ix_event_contact", "contact_id", "kind", "occurred_at"),
        Index(
            "ix_event_orphan", "orphan_key",
            sqlite_where=text("orphan_key IS NOT NULL"), postgresql_where=text("orphan_key IS NOT NULL"),
        ),
        rowid=False,
    )  # fmt: skip
    occurred_at: int = _key()
    hash64: int = _key()
    kind: str = _text()
    contact_id: int | None = _maybe_int()
    orphan_key: str | None = _maybe_text()  # the unknown contact's id, until one comes
    intake_id: int = _int()
    value_cents: int | None = _maybe_int()  # the event's money, refunds negative
    currency: str | None = _maybe_text()  # null: the workspace's
    node_id: int | None = _maybe_int()  # feedback only: the send it speaks of
    enrolment_id: int | None = _maybe_int()
    props: dict[str, Any] = _document()


class Arrival(SQLModel, table=True):
    """The rows that an intake really inserted, until they are folded."""

    __tablename__ = "arrival"
    __table_args__ = _part("events", rowid=False)
    intake_id: int = _key()
    occurred_at: int = _key()
    hash64: int = _key()


class Signal(SQLModel, table=True):
    """What the fold found for others to act on: suppress, withdraw, exit, trigger, settle."""

    __tablename__ = "signal"
    __table_args__ = _part("events", Index("ix_signal_kind", "kind", "id"))
    id: int | None = _id()
    kind: str = _text()  # event | suppress | withdraw | consent | settle
    campaign_id: int | None = _maybe_int()
    node_id: int | None = _maybe_int()
    enrolment_id: int | None = _maybe_int()
    contact_id: int | None = _maybe_int()
    subject: str = _text("")  # kind=event: the event's kind; suppress: the address key; withdraw: topic/channel or ''
    thing: str = _text("")
    reason: str = _text("")
    history: int = _int(default=0)
    at: int = _int()
    event_at: int | None = _maybe_int()
    event_hash: int | None = _maybe_int()


class ContactStat(SQLModel, table=True):
    """Folded per contact and kind of event; answers ever, never and since when without reading events."""

    __tablename__ = "contact_stat"
    __table_args__ = _part("events", rowid=False)
    kind: str = _key(String)
    contact_id: int = _key()
    n: int = _int(default=0)
    value_cents: int = _int(default=0)
    first_at: int = _int()
    last_at: int = _int()


class Purchase(SQLModel, table=True):
    """Narrow copy of events with money, in the order segments read them."""

    __tablename__ = "purchase"
    __table_args__ = _part("events", rowid=False)
    contact_id: int = _key()
    occurred_at: int = _key()
    hash64: int = _key()
    kind: str = _text()
    value_cents: int = _int()


class Response(SQLModel, table=True):
    """What became of one send, folded; people and machines apart."""

    __tablename__ = "response"
    __table_args__ = _part("events", Index("ix_response_contact", "contact_id", "first_click"), rowid=False)
    node_id: int = _key()
    enrolment_id: int = _key()
    contact_id: int | None = _maybe_int()
    processed_at: int | None = _maybe_int()
    delivered_at: int | None = _maybe_int()
    bounced_at: int | None = _maybe_int()
    bounce: str | None = _maybe_text()  # hard | soft | block
    complained_at: int | None = _maybe_int()
    unsubscribed_at: int | None = _maybe_int()
    first_open: int | None = _maybe_int()  # a person's
    first_click: int | None = _maybe_int()  # a person's
    opens: int = _int(default=0)
    clicks: int = _int(default=0)
    machine_open: int | None = _maybe_int()
    machine_click: int | None = _maybe_int()


# ----------------------------------------------------------------------------------------------------------- ledger


class Wave(SQLModel, table=True):
    """One occurrence of an entry; its key makes repeating an entry harmless."""

    __tablename__ = "wave"
    __table_args__ = _part("ledger", UniqueConstraint("campaign_id", "entry", "ref", name="uq_wave"))
    id: int | None = _id()
    campaign_id: int = _int()
    entry: str = _text()  # kind and subject: at, every, event:cart_updated, api
    ref: str = _text()  # instant, local day, intake, caller's key
    snapshot_at: int = _int()
    n: int = _int(default=0)
    left_out: dict[str, Any] = _document()  # reason → people who matched and did not enter


class Ripening(SQLModel, table=True):
    __tablename__ = "ripening"
    __table_args__ = _part("ledger", rowid=False)
    campaign_id: int = _key()
    entry: str = _key(String)
    contact_id: int = _key()
    thing: str = _key(String)
    first_at: int = _int()
    last_at: int = _int()
    event_at: int | None = _maybe_int()
    event_hash: int | None = _maybe_int()


class Enrolment(SQLModel, table=True):
    """One contact's way through one campaign version."""

    __tablename__ = "enrolment"
    __table_args__ = _part(
        "ledger",
        UniqueConstraint("campaign_id", "contact_id", "thing", "wave_id", name="uq_enrolment"),
        Index(
            "uq_enrolment_live", "campaign_id", "contact_id", "thing", unique=True,
            sqlite_where=text("state = 'live'"), postgresql_where=text("state = 'live'"),
        ),
        Index(
            "ix_enrolment_stand", "node_id", "due_at",
            sqlite_where=text("state = 'live'"), postgresql_where=text("state = 'live'"),
        ),
    )  # fmt: skip
    id: int | None = _id()
    campaign_id: int = _int()
    version_id: int = _int()
    wave_id: int = _int()
    contact_id: int = _int()
    thing: str = _text("")
    role: str = _text("treated")  # treated | held_campaign | held_global
    node_id: int | None = _maybe_int()  # where it stands; null once done
    arrived_at: int = _int()
    due_at: int | None = _maybe_int()  # null: waits for an event, a leader, or a send in flight
    state: str = _text("live")  # live | done
    exit_code: str | None = _maybe_text()  # finished, goal, exit reasons
    ended_at: int | None = _maybe_int()
    entered_at: int = _int()
    trigger_at: int | None = _maybe_int()  # key of the newest event of this enrolment's thing
    trigger_hash: int | None = _maybe_int()
    answer_at: int | None = _maybe_int()  # key of the event that ended the last wait_for
    answer_hash: int | None = _maybe_int()


class Passage(SQLModel, table=True):
    """Which branch an enrolment took; one row each."""

    __tablename__ = "passage"
    __table_args__ = _part("ledger", rowid=False)
    node_id: int = _key()
    enrolment_id: int = _key()
    branch: str = _text()
    at: int = _int()


class Send(SQLModel, table=True):
    """The row of record. (node, enrolment) is its whole identity; state = coalesce(outcome, batch.state)."""

    __tablename__ = "send"
    __table_args__ = _part(
        "ledger",
        Index("ix_send_batch", "batch_id"),
        Index("ix_send_contact", "contact_id", "due_at"),
        rowid=False,
    )
    node_id: int = _key()
    enrolment_id: int = _key()
    contact_id: int = _int()
    arm: str = _text("")
    channel: str = _text("")
    ghost: int = _int(default=0)
    due_at: int = _int()
    decided_at: int = _int()
    batch_id: int | None = _maybe_int()
    outcome: str | None = _maybe_text()  # skipped:<reason> | ghost | rejected | exited … ; null: as its batch


LATE_BATCH = "claimed_at > due_at + 900000000"
"""Handed over more than `policy.scan.PUNCTUAL` after it was due: few, so that their index is small."""


class Batch(SQLModel, table=True):
    """Sends handed over together."""

    __tablename__ = "batch"
    __table_args__ = _part(
        "ledger",
        Index(
            "ix_batch_ready", "state", "due_at",
            sqlite_where=text("state IN ('ready', 'claimed', 'unsure')"),
            postgresql_where=text("state IN ('ready', 'claimed', 'unsure')"),
        ),
        Index("ix_batch_late", "claimed_at", sqlite_where=text(LATE_BATCH), postgresql_where=text(LATE_BATCH)),
    )  # fmt: skip
    id: int | None = _id()
    campaign_id: int = _int()
    node_id: int = _int()
    arm: str = _text("")
    language: str = _text("")
    shape: str = _text("")
    channel: str = _text("")
    sender: str = _text("")
    connector: str = _text("")
    n: int = _int(default=0)
    price_micro: int = _int(default=0)  # planned, a person: what is released gives back n times as much
    priority: int = _int(default=50)
    due_at: int = _int()
    decided_at: int = _int()
    not_after: int | None = _maybe_int()
    state: str = _text("ready")  # ready | claimed | accepted | unsure | closed | withdrawn | split
    worker: str | None = _maybe_text()
    lease_until: int | None = _maybe_int()  # machine time
    claimed_at: int | None = _maybe_int()  # campaign time
    begun_at: int | None = _maybe_int()  # machine time; null: no byte can have left
    begun_through: int | None = _maybe_int()  # one by one: people up to this enrolment id may have left
    settled_at: int | None = _maybe_int()  # campaign time
    retry_at: int | None = _maybe_int()  # machine time
    provider_ref: str | None = _maybe_text()
    note: str | None = _maybe_text()
    parent_id: int | None = _maybe_int()


class Attempt(SQLModel, table=True):
    __tablename__ = "attempt"
    __table_args__ = _part("ledger", rowid=False)
    batch_id: int = _key()
    no: int = _key()
    began_at: int = _int()
    ended_at: int | None = _maybe_int()
    status: str | None = _maybe_text()
    provider_ref: str | None = _maybe_text()
    note: str | None = _maybe_text()


class Receipt(SQLModel, table=True):
    """The provider's id of one person's message, where people go one by one."""

    __tablename__ = "receipt"
    __table_args__ = _part("ledger", Index("ix_receipt_ref", "provider_ref"), rowid=False)
    node_id: int = _key()
    enrolment_id: int = _key()
    provider_ref: str = _text()


class Leader(SQLModel, table=True):
    __tablename__ = "leader"
    __table_args__ = _part("ledger", rowid=False)
    experiment: str = _key(String)
    wave_id: int = _key()
    arm: str = _text()  # '' = the rest is split
    decided_at: int = _int()
    evidence: dict[str, Any] = _document()


class Look(SQLModel, table=True):
    __tablename__ = "look"
    __table_args__ = _part("ledger", rowid=False)
    experiment: str = _key(String)
    no: int = _key()
    at: int = _int()
    result: dict[str, Any] = _document()


class Approval(SQLModel, table=True):
    __tablename__ = "approval"
    __table_args__ = _part("ledger", rowid=False)
    campaign_id: int = _key()
    meaning: str = _key(String)
    wave: str = _key(String)  # '' = all of this meaning
    by: str = _text()
    at: int = _int()


class Coupon(SQLModel, table=True):
    __tablename__ = "coupon"
    __table_args__ = _part(
        "ledger",
        Index("uq_coupon_enrolment", "pool", "enrolment_id", unique=True),
        rowid=False,
    )
    pool: str = _key(String)
    code: str = _key(String)
    enrolment_id: int | None = _maybe_int()
    state: str = _text("free")  # free | set_aside | used
    at: int | None = _maybe_int()


class Spent(SQLModel, table=True):
    """Planned costs by quarter of an hour (UTC): every zone's days, weeks and months are whole numbers of them."""

    __tablename__ = "spent"
    __table_args__ = _part("ledger", rowid=False)
    period: str = _key(String)
    campaign_id: int = _key()
    amount_micro: int = _int(default=0)  # millionths of the currency unit: an e-mail costs a fraction of a cent


class Pace(SQLModel, table=True):
    """The token bucket of a connector, in machine time, shared by all workers."""

    __tablename__ = "pace"
    __table_args__ = _part("ledger", rowid=False)
    connector: str = _key(String)
    tokens: int = _int(default=0)
    at: int = _int()
    held_reason: str | None = _maybe_text()
    warm_since: int | None = _maybe_int()  # machine time of the first hand-over while it warms up


class Lease(SQLModel, table=True):
    __tablename__ = "lease"
    __table_args__ = _part("ledger", rowid=False)
    name: str = _key(String)
    holder: str = _text()
    until: int = _int()  # machine time


class LedgerCursor(SQLModel, table=True):
    __tablename__ = "cursor"
    __table_args__ = _part("ledger", rowid=False)
    consumer: str = _key(String)
    signal_id: int = _int(default=0)


def _table(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


contact = _table(Contact)
contact_change = _table(ContactChange)
permission = _table(Permission)
consent = _table(Consent)
suppression = _table(Suppression)
standing = _table(Standing)
campaign = _table(Campaign)
version = _table(Version)
node = _table(Node)
content = _table(Content)
node_content = _table(NodeContent)
membership = _table(Membership)
list_member = _table(ListMember)
zone_period = _table(ZonePeriod)
experiment = _table(Experiment)
audit = _table(Audit)
core_cursor = _table(CoreCursor)
setting = _table(Setting)
intake = _table(Intake)
event = _table(Event)
arrival = _table(Arrival)
signal = _table(Signal)
contact_stat = _table(ContactStat)
purchase = _table(Purchase)
response = _table(Response)
wave = _table(Wave)
ripening = _table(Ripening)
enrolment = _table(Enrolment)
passage = _table(Passage)
send = _table(Send)
batch = _table(Batch)
attempt = _table(Attempt)
receipt = _table(Receipt)
leader = _table(Leader)
look = _table(Look)
approval = _table(Approval)
coupon = _table(Coupon)
spent = _table(Spent)
pace = _table(Pace)
lease = _table(Lease)
ledger_cursor = _table(LedgerCursor)

metadata = SQLModel.metadata
PARTS = ("core", "events", "ledger")
