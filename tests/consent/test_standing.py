"""Standing is what consent, addresses and suppression say, on both stores as in plain Python."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.consent.expressions import allowed_sql, closed_by_sql, closed_sql
from carillon.consent.permissions import TooManyPermissionsError, assign_bits, consent_kind
from carillon.consent.record import Said, history, record_consents, withdraw
from carillon.consent.standing import ensure_folded, refold, rules_of
from carillon.consent.suppression import Suppressed, lift, suppress
from carillon.definition.model import Topic, Workspace
from carillon.kernel.channels import INVALID_ADDRESS, NO_ADDRESS, SUPPRESSED, Channel, shared_bit
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import Store

EMAIL, SMS = Channel.EMAIL, Channel.SMS
TOPICS = {
    "offers": Topic("offers", "marketing", {}, {EMAIL: "explicit", SMS: "double"}),
    "news": Topic("news", "marketing", {}, {EMAIL: "assumed"}),
    "service": Topic("service", "transactional", {}),
}
WORKSPACE = Workspace(
    "shop", "Europe/Berlin", "EUR", "", {"de": ("DE", "AT"), "fr": ("FR",), "nb": ("NO",)}, "", {}, TOPICS
)
RULES = rules_of(WORKSPACE)
PAIRS = list(itertools.product(TOPICS, (EMAIL, SMS)))

CONTACT = ("id", "shop_id", "email_key", "phone_key", "invalid_bits", "country", "language", "zone", "zone_source",
           "h31", "created_at", "attrs")  # fmt: skip


@dataclass(frozen=True)
class Person:
    id: int
    email: str | None = None
    phone: str | None = None
    invalid: int = 0
    country: str | None = None
    language: str | None = None

    def row(self) -> tuple[Any, ...]:
        return (self.id, f"c{self.id}", self.email, self.phone, self.invalid, self.country, self.language,
                "Europe/Berlin", "workspace", self.id * 7, 0, "{}")  # fmt: skip


def language_of(person: Person) -> str:
    """Plain reference of the effective language."""
    given = {"no": "nb"}.get(person.language or "", person.language or "")
    base = given.partition("-")[0]
    by_country = next((tag for tag, countries in WORKSPACE.languages.items() if person.country in countries), "de")
    return next((tag for tag in (given, base) if tag in WORKSPACE.languages), by_country)


def allowed(topic: str, channel: Channel, said: list[Said]) -> bool:
    """Plain reference of consent: the newest word, the later row of two at one instant; of a double topic a yes says nothing."""
    words = [row for row in said if (row.topic, row.channel) == (topic, channel.value)]
    if consent_kind(WORKSPACE, topic, channel) == "double":
        words = [row for row in words if row.state != "yes"]
    newest = max(enumerate(words), key=lambda row: (row[1].at, row[0]))[1].state if words else None
    match consent_kind(WORKSPACE, topic, channel):
        case "explicit":
            return newest in ("yes", "confirmed")
        case "double":
            return newest == "confirmed"
        case "assumed" | "none":
            return newest != "no"
        case _:
            return False


people = st.builds(
    Person,
    st.just(0),
    st.sampled_from([None, "a@x.example", "b@x.example"]),
    st.sampled_from([None, "+4915112345678"]),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([None, "DE", "FR", "NO", "US"]),
    st.sampled_from([None, "fr", "fr-CA", "no", "en", "frr"]),
)
words = st.lists(
    st.builds(
        lambda who, pair, state, at: Said(who, pair[0], pair[1].value, state, "test", "", at),
        st.integers(1, 4), st.sampled_from(PAIRS), st.sampled_from(["yes", "confirmed", "no"]), st.integers(0, 3),
    ),
    max_size=14,
    unique_by=lambda row: (row.contact_id, row.topic, row.channel, row.state, row.at),
)  # fmt: skip
addresses = st.lists(st.sampled_from(["a@x.example", "b@x.example", "+4915112345678"]), unique=True)


def _empty(store: Store) -> None:
    with store.write("core") as connection:
        for table in (t.contact, t.consent, t.suppression, t.standing):
            connection.execute(table.delete())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(people, min_size=4, max_size=4), words, st.booleans(), addresses, addresses)
def test_standing_is_what_a_plain_reading_says(
    store: Store, drawn: list[Person], said: list[Said], is_folded_once: bool, closed: list[str], lifted: list[str]
) -> None:
    """Folded at once or row by row, as SQL on both stores and as plain Python: the same answer."""
    _empty(store)
    crowd = [Person(n, p.email, p.phone, p.invalid, p.country, p.language) for n, p in enumerate(drawn, 1)]
    with store.write("core") as connection:
        for some in [crowd] if is_folded_once else [[p] for p in crowd]:
            insert_rows(connection, t.contact, CONTACT, [p.row() for p in some])
            refold(connection, RULES, None if is_folded_once else [p.id for p in some])
        if is_folded_once:
            record_consents(connection, RULES, said)
        else:
            assert sum(record_consents(connection, RULES, [row]) for row in said) == len(said)
        suppress(connection, RULES, [Suppressed(a, "sms" if a[0] == "+" else "email", "manual", 1) for a in closed])
        lift(connection, RULES, lifted, at=2)
    suppressed = set(closed) - set(lifted)
    permissions = [allowed_sql(topic, channel, consent_kind(WORKSPACE, topic, channel)) for topic, channel in PAIRS]
    groups = [closed_by_sql(g, c) for c in (EMAIL, SMS) for g in (NO_ADDRESS, INVALID_ADDRESS, SUPPRESSED)]
    shared = [t.standing.c.shared_bits.bitwise_and(shared_bit(c)) != 0 for c in (EMAIL, SMS)]
    asked = sa.select(t.standing.c.language, closed_sql(EMAIL), *permissions, *groups, *shared)
    with store.read() as connection:
        rows = connection.execute(asked.order_by(t.standing.c.contact_id)).all()
    expected = []
    for p in crowd:
        mine = [row for row in said if row.contact_id == p.id]
        shut = [
            fact
            for address, bit in ((p.email, 1), (p.phone, 2))
            for fact in (
                address is None and not p.invalid & bit, address is None and bool(p.invalid & bit), address in suppressed
            )
        ]  # fmt: skip
        is_closed = any(shut[:3])
        others = [q for q in crowd if q.id != p.id]
        twins = (p.email in {q.email for q in others} - {None}, p.phone in {q.phone for q in others} - {None})
        expected.append((language_of(p), is_closed, *(allowed(topic, c, mine) for topic, c in PAIRS), *shut, *twins))
    assert [tuple(bool(v) if not isinstance(v, str) else v for v in row) for row in rows] == expected


def test_a_repeated_word_adds_no_row(store: Store) -> None:
    """The same word at the same instant, from a second import, is the same row; its evidence stays the first one's."""
    row = Said(1, "offers", "email", "yes", "import", "list.csv:2", 5)
    with store.write("core") as connection:
        insert_rows(connection, t.contact, CONTACT, [Person(1, "a@x.example").row()])
        assert record_consents(connection, RULES, [row, row._replace(state="no", at=6)]) == 2
        assert record_consents(connection, RULES, [row._replace(evidence="list.csv:9")]) == 0
        assert [(said.state, said.evidence) for said in history(connection, 1)] == [
            ("yes", "list.csv:2"),
            ("no", "list.csv:2"),
        ]


def test_stop_is_a_no_to_every_topic_of_the_channel(store: Store) -> None:
    """STOP closes transactional SMS too; an unsubscribe from marketing leaves the service mails."""
    with store.write("core") as connection:
        insert_rows(connection, t.contact, CONTACT, [Person(1, "a@x.example", "+4915112345678").row()])
        withdraw(connection, WORKSPACE, RULES, [1], channel=SMS, source="sms", evidence="STOP", at=1)
        withdraw(connection, WORKSPACE, RULES, [1], source="page", evidence="unsubscribe", at=2)
        answers = connection.execute(
            sa.select(*(allowed_sql(topic, c, consent_kind(WORKSPACE, topic, c)) for topic, c in PAIRS))
        ).one()
    told = {pair: bool(answer) for pair, answer in zip(PAIRS, answers, strict=True)}
    assert [pair for pair in PAIRS if told[pair]] == [("service", EMAIL)]


def test_the_sixty_third_pair_is_refused_by_name(sqlite_store: Store) -> None:
    """A bit that is not there is an error at the pair, not a consent that gets lost."""
    with sqlite_store.write("core") as connection:
        bits = assign_bits(connection, {(f"t{n:02d}", "email") for n in range(62)})
        assert sorted(bits.values()) == list(range(62))
        with pytest.raises(TooManyPermissionsError, match="t99 × sms"):
            assign_bits(connection, {("t99", "sms")})


def test_a_topic_that_becomes_double_is_folded_anew(sqlite_store: Store) -> None:
    """After the change a single yes suffices no more, and a second look finds nothing to do."""
    with sqlite_store.write("core") as connection:
        insert_rows(connection, t.contact, CONTACT, [Person(1, "a@x.example").row()])
        record_consents(connection, RULES, [Said(1, "offers", "email", "yes", "import", "", 1)])
    stricter = rules_of(
        Workspace("shop", "UTC", "EUR", "", WORKSPACE.languages, "", {},
                  {"offers": Topic("offers", "marketing", {}, {EMAIL: "double"})})
    )  # fmt: skip

    def bits() -> int:
        with sqlite_store.read() as connection:
            return int(connection.execute(sa.select(t.standing.c.allow_bits)).scalar_one())

    assert (bits(), ensure_folded(sqlite_store, stricter), bits()) == (1, True, 0)
    assert ensure_folded(sqlite_store, stricter) is False
