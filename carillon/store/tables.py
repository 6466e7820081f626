"""The tables in their final layout, in three parts: core, events, ledger (docs/architecture.md).

On PostgreSQL the parts are schemas; on SQLite each is a file of its own, attached under the same name, so the same SQL
runs on both. Ids are dense 64-bit integers, instants 64-bit microseconds UTC, money integer cents. Models describe and
migrate; hot paths use the `Table` objects at the end of this page with SQLAlchemy Core.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import Table
from sqlmodel import SQLModel

from carillon.store.core_tables import (
    Audit,
    Campaign,
    Consent,
    Contact,
    ContactChange,
    Content,
    CoreCursor,
    Edition,
    Experiment,
    ListMember,
    Node,
    NodeContent,
    Notice,
    Permission,
    Setting,
    Standing,
    Suppression,
    Version,
    ZonePeriod,
)
from carillon.store.events_tables import (
    Arrival,
    ContactEvent,
    ContactResponse,
    ContactStat,
    Event,
    Intake,
    MoneyField,
    Purchase,
    Redemption,
    Response,
    Signal,
)
from carillon.store.ledger_tables import (
    Approval,
    Attempt,
    Batch,
    Coupon,
    Enrolment,
    Leader,
    Lease,
    LedgerCursor,
    Look,
    Member,
    Moved,
    Pace,
    Passage,
    Receipt,
    Refusal,
    Ripening,
    Send,
    Spent,
    Watch,
    Wave,
)


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
edition = _table(Edition)
notice = _table(Notice)
list_member = _table(ListMember)
zone_period = _table(ZonePeriod)
experiment = _table(Experiment)
audit = _table(Audit)
core_cursor = _table(CoreCursor)
setting = _table(Setting)
intake = _table(Intake)
event = _table(Event)
contact_event = _table(ContactEvent)
arrival = _table(Arrival)
signal = _table(Signal)
contact_stat = _table(ContactStat)
purchase = _table(Purchase)
money_field = _table(MoneyField)
redemption = _table(Redemption)
response = _table(Response)
contact_response = _table(ContactResponse)
wave = _table(Wave)
ripening = _table(Ripening)
watch = _table(Watch)
member = _table(Member)
enrolment = _table(Enrolment)
passage = _table(Passage)
moved = _table(Moved)
send = _table(Send)
batch = _table(Batch)
attempt = _table(Attempt)
receipt = _table(Receipt)
refusal = _table(Refusal)
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
