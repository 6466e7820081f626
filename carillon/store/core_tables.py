"""Part core: what is wanted and who we know."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, String, UniqueConstraint
from sqlmodel import SQLModel

from carillon.store.columns import document, key, maybe_number, maybe_text, number, part, row_id, words


class Contact(SQLModel, table=True):
    """A person we may write to. `attrs` holds every field of data.yaml and the names, as JSON."""

    __tablename__ = "contact"
    __table_args__ = part(
        "core",
        UniqueConstraint("shop_id", name="uq_contact_shop_id"),
        Index("ix_contact_email", "email_key"),
        Index("ix_contact_phone", "phone_key"),
    )
    id: int | None = row_id()
    shop_id: str = words()
    email_key: str | None = maybe_text()  # as sent to: trimmed, domain in lower case ASCII, local part in lower case
    phone_key: str | None = maybe_text()  # E.164
    invalid_bits: int = number(default=0)  # 1 << CHANNEL_NUMBER: an address was given that cannot be one
    country: str | None = maybe_text()  # ISO 3166-1 alpha-2
    language: str | None = maybe_text()  # as given; the effective one stands in `standing`
    zone: str = words()  # IANA name, always resolved
    zone_source: str = words()  # contact | phone | country | workspace
    h31: int = number()
    created_at: int = number()
    attrs: dict[str, Any] = document()
    merged_into: int | None = maybe_number()
    erased_at: int | None = maybe_number()


class ContactChange(SQLModel, table=True):
    """Append-only history of field changes."""

    __tablename__ = "contact_change"
    __table_args__ = part("core", Index("ix_contact_change_contact", "contact_id", "at"))
    id: int | None = row_id()
    contact_id: int = number()
    at: int = number()
    field: str = words()
    old: str | None = maybe_text()
    new: str | None = maybe_text()
    source: str = words()


class Permission(SQLModel, table=True):
    """The bit of `standing.allow_bits` and `deny_bits` that a (topic, channel) pair got when it was first named."""

    __tablename__ = "permission"
    __table_args__ = part("core", UniqueConstraint("topic", "channel", name="uq_permission"))
    bit: int = key()
    topic: str = words()
    channel: str = words()


class Consent(SQLModel, table=True):
    """Append-only: contact × topic × channel, with evidence. The newest `at` (then id) rules."""

    __tablename__ = "consent"
    __table_args__ = part("core", Index("ix_consent_contact", "contact_id", "topic", "channel", "at"))
    id: int | None = row_id()
    contact_id: int = number()
    topic: str = words()
    channel: str = words()
    state: str = words()  # yes | confirmed | no
    source: str = words()
    evidence: str = words("")
    at: int = number()


class Suppression(SQLModel, table=True):
    """An address never written to, independent of consent; `lifted_at` ends it."""

    __tablename__ = "suppression"
    __table_args__ = part("core", rowid=False)
    address_key: str = key(String)
    channel: str = words()
    reason: str = words()
    at: int = number()
    lifted_at: int | None = maybe_number()


class Standing(SQLModel, table=True):
    """Folded in the same transaction as contact, consent and suppression: the one row that policy reads."""

    __tablename__ = "standing"
    __table_args__ = part("core", rowid=False)
    contact_id: int = key()
    zone: str = words()
    language: str = words()  # effective: contact's, else by country, else the workspace's first
    country: str = words("")
    allow_bits: int = number(default=0)  # Permission.bit: a yes that suffices (confirmed where the topic says double)
    deny_bits: int = number(default=0)  # Permission.bit: a no
    closed_bits: int = number(default=0)  # kernel.channels.closed_bit
    shared_bits: int = number(
        default=0
    )  # kernel.channels.shared_bit: at least of those whose address is another's, too
    h31: int = number()


class Campaign(SQLModel, table=True):
    __tablename__ = "campaign"
    __table_args__ = part("core", UniqueConstraint("name", name="uq_campaign_name"))
    id: int | None = row_id()
    name: str = words()
    was: str | None = maybe_text()
    wanted_state: str = words("live")  # of the YAML: draft | live | ended
    operator_state: str = words("running")  # running | paused | stopped
    hold_reason: str | None = maybe_text()  # the engine's brake: needs a person's yes
    live_version: int | None = maybe_number()
    first_applied_at: int | None = maybe_number()


class Version(SQLModel, table=True):
    """One meaning of a campaign. Contacts finish on the version that they entered."""

    __tablename__ = "version"
    __table_args__ = part("core", UniqueConstraint("campaign_id", "meaning", name="uq_version_meaning"))
    id: int | None = row_id()
    campaign_id: int = number()
    meaning: str = words()
    plan_json: str = words()
    planned_audience: int | None = maybe_number()
    applied_at: int = number()
    applied_by: str = words("")


class Node(SQLModel, table=True):
    """A step by its id, shared by all versions and never deleted."""

    __tablename__ = "node"
    __table_args__ = part("core", UniqueConstraint("campaign_id", "step_id", name="uq_node_step"))
    id: int | None = row_id()
    campaign_id: int = number()
    step_id: str = words()
    kind: str = words()


class Content(SQLModel, table=True):
    """A compiled message by its hash: what is rendered, and the links in it (`n` of `/c/<token>/<n>` is the index)."""

    __tablename__ = "content"
    __table_args__ = part("core", UniqueConstraint("hash", name="uq_content_hash"))
    id: int | None = row_id()
    hash: str = words()
    compiled: str = words()
    links: str = words("[]")


class NodeContent(SQLModel, table=True):
    """The newest applied content of a node for an arm, channel and language."""

    __tablename__ = "node_content"
    __table_args__ = part("core", rowid=False)
    node_id: int = key()
    arm: str = key(String)  # '' where there is no test
    channel: str = key(String)
    language: str = key(String)
    content_id: int = number()
    applied_at: int = number()


class Edition(SQLModel, table=True):
    """Every content that a node ever had, from which instant on; `node_content` is the newest of each."""

    __tablename__ = "edition"
    __table_args__ = part("core", rowid=False)
    node_id: int = key()
    arm: str = key(String)
    channel: str = key(String)
    language: str = key(String)
    applied_at: int = key()
    content_id: int = number()


class Notice(SQLModel, table=True):
    """Left by the transaction that made contacts or recorded consents: the ids of its rows, until they are told as events."""

    __tablename__ = "notice"
    __table_args__ = part("core")
    id: int | None = row_id()
    kind: str = words()  # contacts | consents
    low: int = number()
    high: int = number()
    history: int = number()  # 1: an import of the past, which never enrols


class ListMember(SQLModel, table=True):
    """Who stands on an imported list; nobody is put on one or taken off but by `carillon import list`."""

    __tablename__ = "list_member"
    __table_args__ = part("core", rowid=False)
    list: str = key(String)
    contact_id: int = key()
    told_at: int = number()  # of the newest import that named the contact


class ZonePeriod(SQLModel, table=True):
    """Local time in SQL: in [from_utc, to_utc) the zone's clock is UTC + offset; local_from is from_utc + offset."""

    __tablename__ = "zone_period"
    __table_args__ = part("core", rowid=False)
    zone: str = key(String)
    from_utc: int = key()
    to_utc: int = number()
    offset: int = number()


class Experiment(SQLModel, table=True):
    """A registered question: its metric and looks are written before the first send and never changed."""

    __tablename__ = "experiment"
    __table_args__ = part("core", UniqueConstraint("name", name="uq_experiment_name"))
    id: int | None = row_id()
    name: str = words()  # campaign/step
    node_id: int = number()
    metric: str = words()
    arms: str = words("[]")
    looks: str = words("[]")
    registered_at: int = number()


class Audit(SQLModel, table=True):
    __tablename__ = "audit"
    __table_args__ = part("core")
    id: int | None = row_id()
    at: int = number()
    who: str = words()
    what: str = words()
    subject: str = words()
    details: str = words("")


class CoreCursor(SQLModel, table=True):
    """How far core has taken over the signals, moved in the transaction of the effect."""

    __tablename__ = "cursor"
    __table_args__ = part("core", rowid=False)
    consumer: str = key(String)
    signal_id: int = number(default=0)


class Setting(SQLModel, table=True):
    """Facts of this store: the workspace it belongs to, tzdata's version, the store's own layout."""

    __tablename__ = "setting"
    __table_args__ = part("core", rowid=False)
    name: str = key(String)
    value: str = words()
