"""What each kind of file is read as: contacts, events, consents, suppressions, a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from carillon.consent.suppressed import Suppressed
from carillon.definition.model import Data, Field
from carillon.kernel.channels import TO_PEOPLE
from carillon.kernel.clock import Micros
from carillon.kernel.problems import did_you_mean
from carillon.kernel.time.zones import is_zone
from carillon.people.addresses import country_code, email_key, language_tag, phone_key
from carillon.people.events import EventShape, event_hash, event_hashes, json_rows, json_text, json_texts
from carillon.people.fields import Reading, currency_of, flag, one_of, reader_of, word
from carillon.people.files import Chunk
from carillon.people.instants import instant_reader, instants_reader
from carillon.people.mapping import Bound, MappingError, Source, bind, require
from carillon.people.packing import Columnwise, Same
from carillon.people.reading import Columns, Read
from carillon.people.rows import INVALID_EMAIL, INVALID_PHONE, ArrivedEvent, ContactRow, Wish

Kind = Literal["contacts", "events", "consents", "suppressions", "list"]

BUILT_IN = ("id", "email", "phone", "first_name", "last_name", "language", "country", "timezone", "created_at")
"""Contact fields that need no declaration; the names stand in `attrs` beside the declared ones."""
CURRENCY = "currency"
"""The property of an event that says what its money is in; it needs no declaration."""
_NAMES = ("first_name", "last_name")
_ALIASES: Mapping[Kind, Mapping[str, str]] = {
    "contacts": {"customer_id": "id", "contact_id": "id", "user_id": "id", "e_mail": "email", "mobile": "phone", "zone": "timezone"},
    "events": {"customer_id": "contact", "contact_id": "contact", "user_id": "contact", "userid": "contact",
               "occurred_at": "at", "timestamp": "at", "event_id": "id", "messageid": "id"},
    "consents": {"customer_id": "contact", "contact_id": "contact", "user_id": "contact", "id": "contact"},
    "suppressions": {"email": "address", "phone": "address"},
    "list": {"customer_id": "contact", "contact_id": "contact", "user_id": "contact", "id": "contact", "e_mail": "email"},
}  # fmt: skip
_CHANNELS = tuple(channel.value for channel in TO_PEOPLE)
_STATES = {"confirmed": "confirmed", "double": "confirmed", "doi": "confirmed"}


@dataclass(frozen=True, slots=True)
class ImportShape:
    """Everything a chunk needs to become rows; travels to other processes whole."""

    kind: Kind
    bound: Bound
    how: Reading
    fields: Mapping[str, Mapping[str, Field]]
    """kind of event → its properties; of contacts under ''."""
    file: str
    now: Micros
    """When things were told that name no instant."""
    event: str | None = None
    topics: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    """Those that money may be in, the workspace's own first."""


def shape_of(
    kind: Kind, header: list[str], source: Source, data: Data, topics: tuple[str, ...], workspace_zone: str, file: str, now: Micros,
    currencies: tuple[str, ...] = (),
) -> ImportShape:  # fmt: skip
    """Bind the header to fields; raises MappingError with everything that does not fit."""
    how = Reading(source.zone or workspace_zone, source.dates, source.decimal_comma, source.country)
    if source.zone and not is_zone(source.zone):
        raise MappingError(f"no time zone {source.zone!r}: a name such as Europe/London")
    match kind:
        case "contacts":
            declared: Mapping[str, Field] = {
                name: field for name, field in data.contact.items() if name not in BUILT_IN
            }
            consents = [f"consent_{channel}_{topic}" for topic in topics for channel in TO_PEOPLE]
            known = [*BUILT_IN, *declared, *consents, "consent_at"]
            fields: Mapping[str, Mapping[str, Field]] = {"": declared}
            needs = {"id": "the contact's own id at the shop"}
        case "events":
            fields = _declared_events(source, data)
            known = ["contact", "at", "id", *(["event"] if source.event is None else [])]
            known += sorted(
                {name for props in fields.values() for name in props} | ({CURRENCY} if currencies else set())
            )
            needs = {"contact": "the contact's id", "at": "when it happened"}
            if source.event is None:
                needs["event"] = "what happened; or --event NAME for all of the file"
        case "consents":
            fields = {}
            known = ["contact", "topic", "channel", "state", "at", "source", "evidence"]
            needs = {"contact": "the contact's id", "topic": "the topic", "channel": "email or sms", "state": "yes, confirmed or no", "at": "when it was said"}  # fmt: skip
        case "suppressions":
            fields, known = {}, ["address", "channel", "reason", "at"]
            needs = {"address": "the address or number never to write to"}
        case "list":
            fields, known, needs = {}, ["contact", "email"], {}
            source = replace(source, ignore_others=True)  # only who stands in it matters
    bound = bind(header, known, _ALIASES[kind], source)
    require(bound, needs)
    if kind == "list" and not bound.fields:
        raise MappingError("no column says who: --map contact=COLUMN (the contact's id), or --map email=COLUMN")
    return ImportShape(kind, bound, how, fields, file, now, source.event, topics, currencies)


def _declared_events(source: Source, data: Data) -> dict[str, Mapping[str, Field]]:
    if source.event is None:
        return {kind: dict(props) for kind, props in data.events.items()}
    if source.event not in data.events:
        raise MappingError(f"no event {source.event!r} in data.yaml; {did_you_mean(source.event, data.events)}")
    return {source.event: dict(data.events[source.event])}


def read_chunk(shape: ImportShape, chunk: Chunk) -> Read[Any]:
    """The rows of a chunk."""
    columns = Columns(chunk, shape.bound)
    match shape.kind:
        case "contacts":
            return _read_contacts(shape, columns)
        case "events":
            return _read_events(shape, columns)
        case "consents":
            return _read_consents(shape, columns)
        case "suppressions":
            return _read_suppressions(shape, columns)
        case "list":
            return _read_list(columns)


def _read_contacts(shape: ImportShape, columns: Columns) -> Read[ContactRow]:
    optional = _optional(columns)
    ids = columns.read("id", word, is_needed=True)
    countries = optional("country", lambda value: country_code(word(value)))
    if shape.how.country:
        countries = [country or shape.how.country for country in countries]
    emails, bad_emails = _addresses(columns, "email", lambda value, _: email_key(word(value)), countries)
    phones, bad_phones = _addresses(columns, "phone", lambda value, country: phone_key(word(value), country), countries)
    languages = optional("language", lambda value: language_tag(word(value)))
    zones = optional("timezone", _zone)
    created = optional("created_at", instant_reader(shape.how.zone, shape.how.dates))
    declared = {name: Field(name, "word") for name in _NAMES} | dict(shape.fields[""])
    attrs = {name: optional(name, reader_of(field, shape.how)) for name, field in declared.items() if columns.has(name)}
    wishes = _wishes(shape, columns)
    rows = [
        ContactRow(
            shop_id,
            emails[i],
            phones[i][0] if phones[i] else None,
            phones[i][1] if phones[i] else None,
            (INVALID_EMAIL if i in bad_emails else 0) | (INVALID_PHONE if i in bad_phones else 0),
            countries[i],
            languages[i],
            zones[i],
            created[i],
            {name: values[i] for name, values in attrs.items() if values[i] is not None},
            wishes[i] if wishes else (),
        )
        for i, shop_id in enumerate(ids)
    ]
    return columns.given(rows)


def _optional(columns: Columns) -> Callable[[str, Callable[[Any], Any]], list[Any]]:
    """Reads a column where there is one; an unreadable value is left out, the contact comes in without it."""
    nothing = [None] * columns.chunk.n

    def read(name: str, reader: Callable[[Any], Any]) -> list[Any]:
        return columns.read(name, reader, refuses=False) if columns.has(name) else nothing

    return read


def _addresses(
    columns: Columns, name: str, reader: Callable[[Any, str | None], Any], countries: list[str | None]
) -> tuple[list[Any], set[int]]:
    """The column's addresses, and the rows whose address cannot be one: those contacts are kept, marked as invalid."""
    if not columns.has(name):
        return [None] * columns.chunk.n, set()
    found: list[Any] = []
    invalid: set[int] = set()
    for index, value in enumerate(columns.raw(name)):
        address = None
        if value is not None and value != "" and value == value:
            try:
                address = reader(value, countries[index])
            except ValueError as error:
                invalid.add(index)
                columns.note(index, f"{name}: {error}", refuses=False)
        found.append(address)
    return found, invalid


def _zone(value: Any) -> str:
    name = word(value)
    if not is_zone(name):
        raise ValueError(f"no time zone {name!r}")
    return name


def _wishes(shape: ImportShape, columns: Columns) -> list[tuple[Wish, ...]]:
    """What the consent columns of each row say; blank says nothing."""
    named = [
        (topic, channel.value, f"consent_{channel}_{topic}")
        for topic in shape.topics
        for channel in TO_PEOPLE
        if columns.has(f"consent_{channel}_{topic}")
    ]
    if not named:
        return []
    when = instant_reader(shape.how.zone, shape.how.dates)
    at = columns.read("consent_at", when) if columns.has("consent_at") else [None] * columns.chunk.n
    said = {name: columns.read(name, _state) for _, _, name in named}
    first = columns.chunk.first
    return [
        tuple(
            Wish(topic, channel, state, f"{shape.file}, row {first + i}, {columns.bound.column_of(name)}", at[i])
            for topic, channel, name in named
            if (state := said[name][i]) is not None
        )
        for i in range(columns.chunk.n)
    ]


def _state(value: Any) -> str:
    text = word(value).lower()
    return _STATES.get(text) or ("yes" if flag(text) else "no")


def _read_events(shape: ImportShape, columns: Columns) -> Read[ArrivedEvent]:
    if shape.event is not None:
        return _read_one_kind(shape, columns, shape.event)
    kinds = columns.read("event", word, is_needed=True)
    shapes = {kind: EventShape(kind, props, shape.how) for kind, props in shape.fields.items()}
    contacts = columns.read("contact", word, is_needed=True)
    instants = columns.read("at", instant_reader(shape.how.zone, shape.how.dates), is_needed=True)
    own_ids = columns.read("id", word) if columns.has("id") else [None] * columns.chunk.n
    props = {name: columns.raw(name) for name in columns.bound.fields if name not in ("contact", "at", "id", "event")}
    currencies = _currencies(shape, columns)
    rows: list[ArrivedEvent | None] = []
    for i, kind in enumerate(kinds):
        rows.append(None)
        if i in columns.refused:
            continue
        try:
            if kind not in shapes:
                raise ValueError(f"event: no {kind!r} in data.yaml; {did_you_mean(kind, shapes)}")
            raw = {name: value for name, column in props.items() if (value := column[i]) not in (None, "")}
            if currencies is not None and CURRENCY not in shape.fields[kind]:
                raw.pop(CURRENCY, None)
            typed = shapes[kind].read(raw)
        except ValueError as error:
            columns.note(i, str(error))
            continue
        key = event_hash(kind, contacts[i], own_ids[i], typed.props)
        currency = currencies[i] if currencies is not None else None
        rows[i] = ArrivedEvent(instants[i], key, kind, contacts[i], typed.value_cents, typed.props, currency)
    return columns.given(rows)


def _read_one_kind(shape: ImportShape, columns: Columns, kind: str) -> Read[ArrivedEvent]:
    """All rows are one kind: column by column, twice as fast as row by row."""
    event = EventShape(kind, shape.fields[kind], shape.how)
    contacts = columns.read("contact", word, is_needed=True)
    zone, dates = shape.how.zone, shape.how.dates
    instants = columns.read("at", instant_reader(zone, dates), is_needed=True, whole=instants_reader(zone, dates))
    own_ids = columns.read("id", word) if columns.has("id") else [None] * columns.chunk.n
    told = {name: columns.read(name, read) for name, read in event.readers.items() if columns.has(name)}
    values = told.get(event.value_field or "", [None] * columns.chunk.n)
    currencies = _currencies(shape, columns) or Same(None)
    texts = _texts(columns, told)
    hashes = event_hashes(kind, contacts, own_ids, [text or "" for text in texts])
    # In the order of ArrivedEvent; a row that was refused is left out by its place.
    rows = (instants, hashes, Same(kind), contacts, values, texts, currencies)
    return columns.given(Columnwise(columns.chunk.n, rows))


def _currencies(shape: ImportShape, columns: Columns) -> list[str | None] | None:
    """What the money of each row is in; None where the file does not say."""
    if not (shape.currencies and columns.has(CURRENCY)):
        return None
    return columns.read(CURRENCY, currency_of(shape.currencies))


def _texts(columns: Columns, told: Mapping[str, list[Any]]) -> list[str | None]:
    """The properties of each row as JSON text; None for a refused row."""
    if told and not columns.refused:
        with suppress(ValueError):
            return [*(json_rows(told) or json_texts(_documents(told)))]
    names = tuple(told)
    texts: list[str | None] = []
    for index, row in enumerate(zip(*told.values(), strict=True) if told else [()] * columns.chunk.n):
        text = None
        if index not in columns.refused:
            props = {name: value for name, value in zip(names, row, strict=True) if value is not None}
            try:
                text = json_text(props)
            except ValueError as error:
                columns.note(index, str(error))
        texts.append(text)
    return texts


def _documents(told: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """What each row tells, without what it leaves blank."""
    names, rows = tuple(told), zip(*told.values(), strict=True)
    if not any(None in column for column in told.values()):
        return (dict(zip(names, row, strict=True)) for row in rows)
    return ({name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows)


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A word about one topic on one channel, of a contact by the shop's id."""

    row: int
    shop_id: str
    topic: str
    channel: str
    state: Any
    source: str
    evidence: str
    at: Micros


def _read_consents(shape: ImportShape, columns: Columns) -> Read[ConsentRow]:
    contacts = columns.read("contact", word, is_needed=True)
    topics = columns.read("topic", one_of(shape.topics), is_needed=True)
    channels = columns.read("channel", one_of(_CHANNELS), is_needed=True)
    states = columns.read("state", _state, is_needed=True)
    instants = columns.read("at", instant_reader(shape.how.zone, shape.how.dates), is_needed=True)
    optional = _optional(columns)
    sources, evidence = optional("source", word), optional("evidence", word)
    first = columns.chunk.first
    return columns.given(
        ConsentRow(
            first + i, contacts[i], topics[i], channels[i], states[i], sources[i] or "import",
            evidence[i] or f"{shape.file}, row {first + i}", instants[i],
        )
        for i in range(columns.chunk.n)
    )  # fmt: skip


def _read_suppressions(shape: ImportShape, columns: Columns) -> Read[Suppressed]:
    def address(value: Any) -> str:
        text = word(value)
        return email_key(text) if "@" in text else phone_key(text, shape.how.country)[0]

    keys = columns.read("address", address, is_needed=True)
    optional = _optional(columns)
    channels = optional("channel", one_of(_CHANNELS))
    reasons = optional("reason", word)
    when = instant_reader(shape.how.zone, shape.how.dates)
    instants = columns.read("at", when) if columns.has("at") else [None] * columns.chunk.n
    return columns.given(
        None if key is None else
        Suppressed(key, channels[i] or ("email" if "@" in key else "sms"), reasons[i] or "import", instants[i] or shape.now)
        for i, key in enumerate(keys)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListRow:
    """Somebody who stands on a list, by the shop's id or else by address."""

    row: int
    shop_id: str | None
    email: str | None


def _read_list(columns: Columns) -> Read[ListRow]:
    nothing: list[Any] = [None] * columns.chunk.n
    contacts = columns.read("contact", word) if columns.has("contact") else nothing
    emails = columns.read("email", lambda value: email_key(word(value))) if columns.has("email") else nothing
    for i in range(columns.chunk.n):
        if contacts[i] is None and emails[i] is None:
            columns.note(i, "no contact: the row says neither an id nor an address")
    first = columns.chunk.first
    return columns.given(ListRow(first + i, contacts[i], emails[i]) for i in range(columns.chunk.n))
