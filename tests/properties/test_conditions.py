"""SQLite, PostgreSQL and the plain reference agree on who fulfils a condition, whatever the data and the condition."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.audience.evaluate import where
from carillon.audience.facts import CouponFact, EnrolmentFact, EventFact, Facts, Journey, SendFact
from carillon.audience.moment import Moment, Subject, of_contact, of_enrolment
from carillon.audience.reference import holds
from carillon.audience.words import say
from carillon.definition.conditions import (
    Ago,
    All,
    AnswerIs,
    AnyOf,
    Compare,
    Condition,
    Consented,
    ContactIs,
    CouponIs,
    EnrolledIn,
    FieldTest,
    HasEvent,
    InList,
    InSegment,
    Not,
    Reachable,
    Responded,
    Same,
    Span,
    ThingsTest,
    TriggerIs,
)
from carillon.kernel.clock import DAY, HOUR, to_micros
from carillon.kernel.time.calendar import utc_to_local
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.audience.facts_in_store import PAIRS, Bits, write_facts

ZONES = ("Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago")
KINDS = ("order", "view")
WORDS = ("shoes", "Schuhe", "ÜBER", "über", "sho*s")
SPANS = (Span(seconds=86_400), Span(seconds=86_400), Span(seconds=30 * 86_400), Span(months=1), Span(months=12))


NOWS = tuple(
    to_micros(datetime.fromisoformat(text))
    for text in ("2026-02-28T11:30:00+00:00", "2024-02-29T00:00:00+00:00", "2026-12-31T23:59:59+00:00")
)

# ---------------------------------------------------------------- people


@cache  # a strategy costs more to make than to draw from
def instants(now: int) -> st.SearchStrategy[int]:
    """Instants about the edges of every span that conditions use."""
    edges = [0, DAY, DAY, 30 * DAY, 31 * DAY, 366 * DAY, -DAY]
    return st.builds(lambda edge, off: now - edge + off, st.sampled_from(edges), st.sampled_from([-HOUR, 0, 0, 1]))


@cache
def days(now: int) -> st.SearchStrategy[str]:
    today = utc_to_local("UTC", now).date()
    near = st.builds(
        lambda n: (today + timedelta(days=n)).isoformat(), st.sampled_from([-31, -30, -29, -1, 0, 1, 2, 30, 31])
    )
    old = st.sampled_from(["1992-02-29", "1990-02-28", "1990-03-01", "1988-12-31", "2001-01-01"])
    return st.one_of(near, old)


@cache
def documents(now: int) -> st.SearchStrategy[dict[str, Any]]:
    """Properties or attributes; any may be missing, null or of a wrong type."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "cart": st.sampled_from(["c1", "c2"]),
        "word": st.sampled_from(WORDS),
        "number": st.sampled_from([0, 1, 1.5, 17, -2]),
        "total": st.sampled_from([0, 999, 1000, 1001, -500]),
        "flag": st.booleans(),
        "day": days(now),
        "seen": instants(now),
        "tags": st.lists(st.sampled_from(WORDS), max_size=2),
        "lines": st.lists(
            st.fixed_dictionaries(
                {},
                optional={"cart": st.sampled_from(["c1", "c2"]), "price": st.sampled_from([1, 1000]), "day": days(now)},
            )
            | st.sampled_from(["junk", 3, None, ["c1"]]),
            max_size=3,
        ),
    }
    broken, no_text = st.sampled_from([None, "x", 5, True, ["x"], {}]), st.sampled_from([None, 5, True, []])
    optional = {
        name: st.one_of(good, good, good, broken if name not in ("day", "word", "cart") else no_text)
        for name, good in fields.items()
    }
    return st.fixed_dictionaries({}, optional=optional)


@cache
def _sends(now: int) -> st.SearchStrategy[tuple[SendFact, ...]]:
    at = instants(now)
    maybe = st.one_of(st.none(), st.none(), at)
    one = st.builds(
        SendFact, campaign=st.sampled_from(["mine", "other"]), step=st.sampled_from(["email.a", "email.b"]),
        channel=st.sampled_from(["email", "sms"]), at=at,
        state=st.sampled_from(["accepted", "unsure", "closed", "ready", "rejected", "skipped:capped", "ghost"]),
        enrolment=st.sampled_from([0, 1]), bounced_at=maybe, opened_at=maybe,
        machine_opened_at=st.one_of(st.none(), at), clicked_at=maybe,
    ).map(lambda send: send if send.campaign == "mine" else replace(send, enrolment=0))  # fmt: skip
    return st.lists(one, max_size=4, unique_by=lambda s: s.step if s.enrolment else id(s)).map(tuple)


@cache
def _coupons(now: int) -> st.SearchStrategy[list[CouponFact]]:
    """At most one code of a pool an enrolment; 1 is the journey's own."""
    maybe = st.one_of(st.none(), instants(now))
    one = st.builds(
        CouponFact, st.sampled_from(["spring", "spring", "cart"]), st.sampled_from(["A", "b"]), st.sampled_from([0, 1, 1]),
        valid_until=maybe, redeemed_at=maybe,
    )  # fmt: skip
    return st.lists(one, max_size=3, unique_by=lambda c: (c.pool, c.enrolment))


@cache
def people(now: int) -> st.SearchStrategy[Facts]:
    """Somebody with fields, events, messages, and an enrolment in the campaign `mine` that journeys speak of."""
    at = instants(now)
    columns: dict[str, st.SearchStrategy[Any]] = {
        "country": st.sampled_from(["DE", "NO"]), "email": st.sampled_from(["a@x.example", "b@y.example"])
    }  # fmt: skip
    given_ = st.fixed_dictionaries({"timezone": st.sampled_from(ZONES), "created_at": at}, optional=columns)
    return st.builds(
        _somebody,
        fields=st.builds(lambda attrs, given: attrs | given, documents(now), given_),
        events=st.lists(st.builds(EventFact, st.sampled_from(KINDS), at, documents(now)), max_size=5).map(tuple),
        sends=_sends(now),
        others=st.lists(st.builds(EnrolmentFact, st.sampled_from(["mine", "other"]), at, st.booleans()), max_size=2),
        coupons=_coupons(now),
        lists=st.frozensets(st.sampled_from(["vip", "staff"])),
        permitted=st.frozensets(st.sampled_from(PAIRS)),
        open_channels=st.frozensets(st.sampled_from(["email", "sms"])),
        entered=at,
        reached=st.dictionaries(st.just("fork"), at),
        keys=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    )


def _somebody(
    *, events: tuple[EventFact, ...], others: list[EnrolmentFact], entered: int, reached: dict[str, int],
    keys: tuple[int, int], coupons: list[CouponFact], **known: Any,
) -> Facts:  # fmt: skip
    trigger, answer = (events[key].props if key < len(events) else None for key in keys)
    return Facts(
        events=events, enrolments=(EnrolmentFact("mine", entered, True), *others),
        coupons=tuple(c for c in coupons if c.enrolment == 1 or others),  # the last of the others holds them
        journey=Journey(1, entered, reached, trigger, answer), **known,
    )  # fmt: skip


# ---------------------------------------------------------------- conditions


@cache
def bounds() -> st.SearchStrategy[Compare]:
    ops = st.sampled_from(["is", "over", "at_least", "under", "at_most"])
    pairs = st.sampled_from([(0, 0), (0, 1), (1, 2), (2, 3)])
    one = st.builds(Compare, ops, st.integers(0, 3))  # type: ignore[arg-type]
    return st.one_of(one, st.builds(lambda pair: Compare("between", pair), pairs))


@cache
def field_tests(now: int, *, contact: bool) -> st.SearchStrategy[FieldTest]:
    def test(field: str, type_: str, ops: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[FieldTest]:
        return st.builds(FieldTest, st.just(field), st.just(type_), st.sampled_from(ops), values)  # type: ignore[arg-type]

    order, words = ["is", "is_not", "over", "at_least", "under", "at_most"], st.sampled_from(WORDS)
    spans, days_, at = st.sampled_from(SPANS), days(now), instants(now)
    texts = ["contains", "not_contains", "starts_with", "ends_with", "is", "is_not"]
    moving = ["in_last", "in_next"]
    parts = [
        test("word", "word", texts, st.sampled_from([*WORDS, "Ho", "B"])),
        test("word", "word", ["in", "not_in"], st.lists(words, min_size=1, max_size=2).map(tuple)),
        test("number", "number", order, st.sampled_from([0, 1, 1.5])),
        test("number", "number", ["between"], st.sampled_from([(0, 1), (1, 17)])),
        test("total", "money", order, st.sampled_from([0, 1000])),
        test("flag", "flag", ["is", "is_not"], st.booleans()),
        test("day", "date", ["before", "after"], st.one_of(days_, at, st.builds(Ago, spans))),
        test("day", "date", [*moving, "anniversary"], spans),
        test("day", "date", ["is", "is_not", "at_least"], days_),
        test("seen", "instant", ["before", "after"], st.one_of(days_, at, st.builds(Ago, spans))),
        test("seen", "instant", moving, spans),
        test("tags", "list", ["contains", "not_contains", "is", "is_not"], words),
        test("tags", "list", ["in", "not_in"], st.lists(words, min_size=1, max_size=2).map(tuple)),
        *(
            test(field, type_, ["exists"], st.booleans())
            for field, type_ in (("word", "word"), ("number", "number"), ("flag", "flag"), ("tags", "list"))
        ),
    ]
    if contact:
        parts += [
            test("country", "country", ["is", "is_not"], st.sampled_from(["DE", "FR"])),
            test("email", "email", ["is", "ends_with"], st.sampled_from(["A@x.example", "@y.example"])),
            test("created_at", "instant", ["before", "after"], st.one_of(days_, st.builds(Ago, spans))),
            test("country", "country", ["exists"], st.booleans()),
        ]
    return st.one_of(parts)


@cache
def things_tests(now: int) -> st.SearchStrategy[ThingsTest]:
    of_a_line = st.sampled_from(
        [
            (FieldTest("cart", "word", "is", "c1"),),
            (FieldTest("cart", "word", "is_not", "c1"),),
            (FieldTest("cart", "word", "is", "c1"), FieldTest("price", "money", "over", 10)),
            (FieldTest("day", "date", "in_last", Span(seconds=86_400)),),
        ]
    )
    return st.builds(ThingsTest, st.just("lines"), of_a_line)


@cache
def wheres(now: int, *, contact: bool = False) -> st.SearchStrategy[tuple[FieldTest | ThingsTest, ...]]:
    one = st.one_of(field_tests(now, contact=contact), things_tests(now))
    return st.lists(one, min_size=1, max_size=2).map(tuple)


@cache
def event_conditions(now: int, *, journey: bool) -> st.SearchStrategy[HasEvent]:
    sums = st.one_of(
        st.just((None, None)), st.tuples(st.just("total"), st.builds(Compare, st.sampled_from(["over", "under"]), st.sampled_from([0, 1000])))  # type: ignore[arg-type]
    )  # fmt: skip
    same = [(), (Same("cart", "cart"),), (Same("lines.cart", "cart"),), (Same("lines.cart", "lines.cart"),)]
    return st.builds(
        lambda event, within, since, count, of, where_, same: HasEvent(event, within, since, count, *of, where_, same),
        st.sampled_from(KINDS),
        st.one_of(st.none(), st.sampled_from(SPANS)),
        st.sampled_from([None, None, "entry", "fork"]) if journey else st.none(),
        st.one_of(st.just(Compare("at_least", 1)), st.just(Compare("at_least", 1)), bounds()),
        sums,
        st.one_of(st.just(()), st.just(()), wheres(now)),
        st.sampled_from(same) if journey else st.just(()),
    )


@cache
def response_conditions(*, journey: bool) -> st.SearchStrategy[Responded]:
    anywhere = [("any", ""), ("campaign", "other"), ("channel", "email"), ("topic", "offers")]
    here = [("step", "email.a"), ("message", "a")]
    return st.builds(
        lambda what, of, within, count: Responded(what, *of, within, count),
        st.sampled_from(["received", "opened", "opened", "clicked"]),
        st.sampled_from(anywhere + here if journey else anywhere),
        st.one_of(st.none(), st.sampled_from(SPANS)),
        st.one_of(st.just(Compare("at_least", 1)), st.just(Compare("at_least", 1)), bounds()),
    )


@cache
def coupon_conditions() -> st.SearchStrategy[CouponIs]:
    states = st.sampled_from(["unused", "redeemed", "expired"])
    return st.builds(CouponIs, st.sampled_from(["spring", "cart"]), states, st.booleans())  # type: ignore[arg-type]


@cache
def conditions(now: int, *, journey: bool) -> st.SearchStrategy[Condition]:
    leaves: list[st.SearchStrategy[Condition]] = [
        st.builds(ContactIs, wheres(now, contact=True)),
        event_conditions(now, journey=journey),
        event_conditions(now, journey=journey),
        response_conditions(journey=journey),
        response_conditions(journey=journey),
        st.sampled_from(
            [
                Reachable("sms"), Consented("email"), Consented("email", "news"), InList("vip"), InSegment("nested"),
                EnrolledIn(("other",)), EnrolledIn(("mine", "other"), Span(seconds=86_400)),
            ]
        ),
        coupon_conditions(),
    ]  # fmt: skip
    if journey:
        leaves += [st.builds(TriggerIs, wheres(now)), st.builds(AnswerIs, wheres(now))]
    leaf = st.one_of(leaves)
    pairs = st.lists(st.one_of(leaf, st.builds(Not, leaf)), min_size=2, max_size=2).map(tuple)
    nested = st.one_of(st.builds(All, pairs), st.builds(AnyOf, pairs))
    return st.one_of(leaf, leaf, st.builds(Not, leaf), nested, st.builds(Not, nested))


SEGMENTS: dict[str, Condition] = {
    "nested": AnyOf((Not(Responded("opened", "any")), HasEvent("order", Span(seconds=30 * 86_400)))),
}


Case = tuple[int, list[Facts], list[tuple[bool, Condition]]]


@cache
def cases() -> st.SearchStrategy[Case]:
    """An instant, four people, and twelve conditions: of a segment (False) or of a journey (True)."""
    return st.one_of([_cases(now) for now in NOWS])


def _cases(now: int) -> st.SearchStrategy[Case]:
    asked = [st.tuples(st.just(journey), conditions(now, journey=journey)) for journey in (False, True)]
    return st.tuples(
        st.just(now),
        st.lists(people(now), min_size=4, max_size=4),
        st.lists(st.one_of(asked), min_size=12, max_size=12),
    )


# ---------------------------------------------------------------- the property


def answers(store: Store, condition: Condition, journey: bool, few: bool, at: Moment) -> set[int]:
    if journey:
        enrolment, campaign = t.enrolment, t.campaign
        query = (
            sa.select(enrolment.c.contact_id)
            .join_from(enrolment, t.contact, t.contact.c.id == enrolment.c.contact_id)
            .where(enrolment.c.campaign_id.in_(sa.select(campaign.c.id).where(campaign.c.name == "mine")))
            .where(enrolment.c.id.in_(sa.select(sa.func.min(enrolment.c.id)).group_by(enrolment.c.contact_id)))
            .where(where(condition, of_enrolment(contact=t.contact if few else None), at))
        )
    else:
        subject = of_contact(few=few) if few else Subject(t.contact.c.id, contact=t.contact)
        query = sa.select(t.contact.c.id).where(where(condition, subject, at))
    with store.read() as connection:
        return set(connection.scalars(query))


def check(stores: list[Store], case: Case, folded: bool) -> None:
    now, found_people, asked = case
    known = {n: replace(facts, fields={**facts.fields, "id": f"p{n}"}) for n, facts in enumerate(found_people, 1)}
    for store in stores:
        write_facts(store, known)
    money = dict.fromkeys(KINDS, "total") if folded else {}
    for number, (journey, condition) in enumerate(asked):
        few = number % 2 == 1
        for store in stores:
            at = Moment(
                now, store.dialect, "Europe/Berlin", "mine", "offers", SEGMENTS, {"a": ("email.a", "email.b")},
                {"offers": ("other",)}, Bits(), folded, money,
            )  # fmt: skip
            asked_of = known if journey else {n: replace(facts, journey=None) for n, facts in known.items()}
            wanted = {number for number, facts in asked_of.items() if holds(condition, facts, at)}
            found = answers(store, condition, journey, few, at)
            assert found == wanted, f"{store.dialect}, few={few}: {say(condition)}"


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.postgres
@given(case=cases(), folded=st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=QUIET)
def test_both_stores_answer_as_the_reference_does(new_store: Any, case: Case, folded: bool) -> None:
    """Random people, random conditions, as a set and one by one: SQLite = PostgreSQL = plain Python."""
    check(_both(new_store), case, folded)


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(3600)
@given(case=cases(), folded=st.booleans())
@settings(
    max_examples=int(os.environ.get("CARILLON_SOAK_EXAMPLES", "3000")), deadline=None, suppress_health_check=QUIET
)
def test_both_stores_answer_as_the_reference_does_for_long(new_store: Any, case: Case, folded: bool) -> None:
    """The same for thousands of examples."""
    check(_both(new_store), case, folded)


_made: dict[int, list[Store]] = {}


def _both(new_store: Any) -> list[Store]:
    """One pair of stores for all examples of a test."""
    if id(new_store) not in _made:
        _made[id(new_store)] = [new_store("sqlite"), new_store("postgresql")]
    return _made[id(new_store)]


def test_the_reference_knows_a_leap_day() -> None:
    """29 February is celebrated on the 28th in 2026, and on its own day in 2024."""
    test = FieldTest("birthday", "date", "anniversary", Span(seconds=86_400))
    people = Facts({"birthday": "1992-02-29", "timezone": "UTC"})
    assert [holds(ContactIs((test,)), people, Moment(now, "sqlite")) for now in NOWS] == [True, True, False]
    assert date(2024, 2, 29) == utc_to_local("UTC", NOWS[1]).date()
