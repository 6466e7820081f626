"""Preview: every message as people would read it, rendered with the code of a real run; nothing is sent, nothing written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import OnEvent
from carillon.delivery.collected import COLLECTED, bundles_of
from carillon.delivery.columns import BUILT_IN
from carillon.foresight.draft import Draft
from carillon.kernel.channels import Channel
from carillon.kernel.clock import DAY, Micros, from_micros
from carillon.kernel.tokens import Keyring
from carillon.messages.columns import with_amounts
from carillon.messages.content import Content
from carillon.messages.links import resolve
from carillon.messages.rendering import Message, Occasion, render_one
from carillon.messages.sms import Segments, segments
from carillon.messages.strung import Refusal
from carillon.plan.model import Plan
from carillon.plan.senders import sending_channel
from carillon.store import tables as t
from carillon.store.json import text_at

_PREVIEW_RING = Keyring((bytes(32),))
"""Links of a preview are nobody's: no key of the workspace signs them."""

_NAMES = ("contact.first_name", "contact.last_name")
_INBOX_SHOWS = 140
_SAMPLE_LASTS: Micros = 30 * DAY


@dataclass(frozen=True, slots=True)
class Reader:
    """Through whose eyes a message is looked at."""

    name: str
    """`typical`, `longest name`, `no name`."""
    contact: str | None
    """The shop's id of the contact whose values these are; None = nobody has been imported yet."""
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """One message for one reader."""

    reader: str
    subject: str = ""
    inbox_line: str = ""
    """What an inbox shows behind the subject."""
    html: str = ""
    text: str = ""
    segments: Segments | None = None
    """Of an SMS."""
    withheld: str | None = None
    """Why this reader gets nothing: `{% skip %}`, or what could not be rendered."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One message × variant × language, for each reader."""

    step_id: str
    channel: Channel
    arm: str
    language: str
    sender: str
    shown: tuple[Shown, ...]


def previews(connection: Connection, draft: Draft, now: Micros, contact: str | None = None) -> Iterator[Preview]:
    """Every message of a campaign × variant × language; raises LookupError for a contact who is not there."""
    by_language: dict[str, tuple[Reader, ...]] = {}
    topic, rules = draft.plan.topic, draft.rules
    for (step_id, arm, _, language), content in draft.contents.compiled.items():
        if content.channel is Channel.WEBHOOK:  # a call to a system: nobody reads it
            continue
        if language not in by_language:
            readers = _readers(connection, draft.plan, language, contact, now)
            by_language[language] = tuple(readers)
        sender = rules.sender(sending_channel(content.channel), topic=topic, named=draft.plan.sender)
        shown = tuple(_shown(content, reader, now) for reader in by_language[language])
        name = "" if sender is None else sender.display_name or sender.address
        yield Preview(step_id, content.channel, arm, language, name, shown)


def _shown(content: Content, reader: Reader, now: Micros) -> Shown:
    columns = with_amounts({path: [value] for path, value in reader.values.items()}, content.money_paths)
    values = {path: column[0] for path, column in columns.items()}
    message = render_one(content, values, Occasion(_PREVIEW_RING, 1, [1], from_micros(now)))
    if isinstance(message, Refusal):
        return Shown(reader.name, withheld=message.reason)
    counted = segments(message.text) if content.channel is Channel.SMS else None
    html = _led_directly(message.html, content, in_html=True)
    text = _led_directly(message.text, content, in_html=False)
    return Shown(reader.name, message.subject, _inbox_line(message), html, text, counted)


def _led_directly(text: str, content: Content, *, in_html: bool) -> str:
    """The same with every tracked link as its target: a look at a message is no click of anybody."""
    links = re.compile(rf"{re.escape(content.public_url)}/[cs]/[\w-]+/(\d+)(?:\?to=([\w.-]+))?")

    def target(found: re.Match[str]) -> str:
        url = resolve(content.links, int(found.group(1)), found.group(2), _PREVIEW_RING)
        return found.group() if url is None else escape(url) if in_html else url

    return links.sub(target, text)


def _inbox_line(message: Message) -> str:
    body = re.sub(r"(?is)<(style|script|title)\b.*?</\1>|<!--.*?-->", " ", message.html) or message.text
    words = unescape(re.sub(r"<[^>]+>", " ", body))
    return " ".join(words.split())[:_INBOX_SHOWS]


# ---------------------------------------------------------------- through whose eyes


def _readers(connection: Connection, plan: Plan, language: str, contact: str | None, now: Micros) -> Iterator[Reader]:
    row = connection.execute(_someone(language, contact)).first()
    if row is None and contact is not None:
        raise LookupError(f'no contact "{contact}"')
    values = {**_contact_values(row), **_trigger_values(connection, plan, None if row is None else row.contact_id)}
    # A sample: no code of a pool is taken for a look.
    values |= {"coupon.code": "EXAMPLE", "coupon.valid_until": from_micros(now + _SAMPLE_LASTS).replace(tzinfo=None)}
    who = None if row is None else row.shop_id
    yield Reader("typical" if contact is None else contact, who, values)
    yield Reader("longest name", who, values | _longest_names(connection))
    yield Reader("no name", who, values | dict.fromkeys(_NAMES))


def _someone(language: str, contact: str | None) -> sa.Select[Any]:
    """The contact asked for; else the newest who reads this language and has a first name, else anybody."""
    c, s = t.contact.c, t.standing.c
    asked = [column.label(f"b_{name}") for name, column in BUILT_IN.items()]
    select = sa.select(c.id.label("contact_id"), c.shop_id, sa.cast(c.attrs, sa.Text).label("attrs"), *asked)
    select = select.join_from(t.contact, t.standing, s.contact_id == c.id).limit(1)
    if contact is not None:
        return select.where(c.shop_id == contact)
    named = sa.case((text_at(c.attrs, ("first_name",)).is_not(None), 0), else_=1)
    speaks = sa.case((s.language == language, 0), else_=1)
    return select.where(c.merged_into.is_(None), c.erased_at.is_(None)).order_by(speaks, named, c.id.desc())


def _contact_values(row: sa.Row[Any] | None) -> dict[str, Any]:
    if row is None:
        return {"contact.first_name": "Alex", "contact.last_name": "Example"}
    attrs = orjson.loads(row.attrs) if row.attrs else {}
    own = {f"contact.{name}": getattr(row, f"b_{name}") for name in BUILT_IN}
    own["contact.created_at"] = from_micros(row.b_created_at)
    return {f"contact.{name}": value for name, value in attrs.items()} | own


def _trigger_values(connection: Connection, plan: Plan, contact_id: int | None) -> dict[str, Any]:
    """The fields of the newest event that the campaign waits for: of this contact where there is one."""
    kinds = [entry.event for entry in plan.entries if isinstance(entry, OnEvent)]
    e = t.event.c
    own = sa.case((e.contact_id == contact_id, 0), else_=1)
    newest = sa.select(sa.cast(e.props, sa.Text)).where(e.kind.in_(kinds)).order_by(own, e.occurred_at.desc()).limit(1)
    props = connection.scalar(newest) if kinds else None
    fields = orjson.loads(props) if props else {}
    # One trigger stands for what a run would have collected.
    collected = {COLLECTED: [fields] if fields else []} if bundles_of(plan) else {}
    return {f"trigger.{name}": value for name, value in fields.items()} | collected


def _longest_names(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in _NAMES:
        name = text_at(t.contact.c.attrs, (path.removeprefix("contact."),))
        longest = sa.select(name).where(name.is_not(None)).order_by(sa.func.length(name).desc(), t.contact.c.id)
        if (value := connection.scalar(longest.limit(1))) is not None:
            found[path] = value
    return found
