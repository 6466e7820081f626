"""What conditions mean, one sentence each, on both stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest
import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.facts import EnrolmentFact, EventFact, Facts, Journey, SendFact
from carillon.audience.known import facts_of, journey_of
from carillon.audience.moment import ConditionError, Moment, of_contact, of_enrolment
from carillon.audience.reference import holds, trace
from carillon.audience.segments import count_segment, reasons, show_segment
from carillon.audience.select import Dependencies, count, depends_on, is_folded, matching, sample, segments_in
from carillon.definition.conditions import (
    Ago,
    All,
    AnswerIs,
    AnyOf,
    Compare,
    Condition,
    Consented,
    ContactIs,
    EnrolledIn,
    FieldTest,
    HasEvent,
    InList,
    InSegment,
    Later,
    Not,
    Reachable,
    Responded,
    Same,
    Span,
    Sql,
    ThingsTest,
    TriggerIs,
)
from carillon.definition.model import Segment
from carillon.kernel.clock import DAY, HOUR, to_micros
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.audience.facts_in_store import Bits, write_facts

NOW = to_micros(datetime.fromisoformat("2026-03-01T09:30:00+00:00"))
A_DAY, A_MONTH = Span(seconds=86_400), Span(months=1)


def person(name: str = "ada", **facts: object) -> Facts:
    fields = {"id": name, "timezone": "Europe/Berlin", "created_at": NOW - 400 * DAY, **facts.pop("fields", {})}  # type: ignore[dict-item]
    return Facts(fields, **facts)  # type: ignore[arg-type]


def at(store: Store, **words: object) -> Moment:
    return Moment(NOW, store.dialect, "Europe/Berlin", permissions=Bits(), **words)  # type: ignore[arg-type]


def who(store: Store, condition: Condition, people: Mapping[int, Facts], **words: object) -> set[int]:
    """The ids that the store finds; the reference and the one-by-one form must agree."""
    write_facts(store, people)
    moment = at(store, **words)
    with store.read() as connection:
        found = set(connection.scalars(matching(condition, moment)))
        one_by_one = sa.select(t.contact.c.id).where(where(condition, of_contact(few=True), moment))
        assert set(connection.scalars(one_by_one)) == found
    assert {number for number, facts in people.items() if holds(condition, facts, moment)} == found
    return found


def mail(**what: int) -> tuple[SendFact, ...]:
    return (SendFact("sale", "email.sale", "email", NOW - 2 * DAY, "accepted", **what),)


def test_an_open_behind_a_proxy_is_neither_yes_nor_no(store: Store) -> None:
    """1 opened, 2 did not, 3 is hidden, 4 is hidden but clicked, so opened."""
    people = {
        1: person("a", sends=mail(opened_at=NOW - DAY)),
        2: person("b", sends=mail()),
        3: person("c", sends=mail(machine_opened_at=NOW - DAY)),
        4: person("d", sends=mail(machine_opened_at=NOW - DAY, clicked_at=NOW - HOUR)),
    }
    opened = Responded("opened", "campaign", "sale")
    assert who(store, opened, people) == {1, 4}
    assert who(store, Not(opened), people) == {2}
    assert who(store, Not(Not(opened)), people) == {1, 4}
    assert who(store, AnyOf((opened, Not(opened))), people) == {1, 2, 4}
    assert who(store, Responded("opened", "any", count=Compare("is", 0)), people) == {2}
    assert who(store, Not(Responded("opened", "any", count=Compare("is", 0))), people) == {1, 4}


def test_received_is_sent_or_unsure_and_not_bounced(store: Store) -> None:
    """Ghosts, rejected and bounced mails were not received; a bounce still to come changes nothing yet."""
    first = mail()[0]
    kinds = (
        first, replace(first, state="unsure"), replace(first, state="closed"), replace(first, state="rejected"),
        replace(first, state="ghost"), replace(first, bounced_at=NOW), replace(first, bounced_at=NOW + 1),
        replace(first, at=NOW + 1),
    )  # fmt: skip
    people = {number: person(f"p{number}", sends=(send,)) for number, send in enumerate(kinds, 1)}
    assert who(store, Responded("received", "any"), people) == {1, 2, 3, 7}
    assert who(store, Responded("received", "any", within=A_DAY), people) == set()
    assert who(store, Responded("received", "channel", "sms", count=Compare("is", 0)), people) == set(range(1, 9))


def test_events_count_up_to_now_and_after_the_beginning(store: Store) -> None:
    """(now - span, now]: the edge before is out, now is in, what is still to come is out."""
    edges = (NOW - DAY, NOW - DAY + 1, NOW, NOW + 1)
    people = {n: person(f"p{n}", events=(EventFact("order", when),)) for n, when in enumerate(edges, 1)}
    assert who(store, HasEvent("order", A_DAY), people) == {2, 3}
    assert who(store, HasEvent("order", A_DAY), people, folded=True) == {2, 3}
    assert who(store, HasEvent("order", count=Compare("is", 0)), people, folded=True) == {4}


def test_a_month_ago_follows_the_calendar(store: Store) -> None:
    """On 1 March a month reaches back to 1 February, 28 days, at the same clock time."""
    people = {
        1: person("a", events=(EventFact("order", NOW - 28 * DAY),)),
        2: person("b", events=(EventFact("order", NOW - 28 * DAY + 1),)),
    }
    assert who(store, HasEvent("order", A_MONTH), people) == {2}


def test_a_sum_needs_an_event_unless_none_is_counted(store: Store) -> None:
    """Who never bought did not spend under 100: `count` wants at least one; `count: at_least 0` takes them in."""
    people = {
        1: person("a"),
        2: person(
            "b", events=(EventFact("order", NOW, {"total": 9_900}), EventFact("order", NOW - 1, {"total": -100}))
        ),
        3: person("c", events=(EventFact("order", NOW, {"total": 10_000}),)),
    }
    under = HasEvent("order", sum_of="total", sum=Compare("under", 10_000))
    assert who(store, under, people) == {2}
    assert who(store, replace(under, count=Compare("at_least", 0)), people) == {1, 2}


def test_one_line_of_a_list_fulfils_all_tests(store: Store) -> None:
    """Shoes for 10 in one line; shoes in one and 10 in another are not enough; junk in the list is nobody's line."""
    line = ThingsTest("products", (FieldTest("category", "word", "is", "shoes"), FieldTest("price", "money", "is", 10)))

    def bought(*lines: object) -> tuple[EventFact, ...]:
        return (EventFact("order", NOW, {"products": list(lines)}),)

    people = {
        1: person("a", events=bought({"category": "hats"}, {"category": "shoes", "price": 10})),
        2: person("b", events=bought({"category": "shoes", "price": 9}, {"price": 10})),
        3: person("c", events=bought("shoes", 10, None)),
        4: person("d", events=(EventFact("order", NOW, {"products": "shoes"}),)),
    }
    assert who(store, HasEvent("order", where=(line,)), people) == {1}


@pytest.mark.parametrize(
    "test, expected",
    [
        (FieldTest("tier", "word", "is", "gold"), {1}),
        (FieldTest("tier", "word", "is_not", "gold"), {2, 3}),
        (FieldTest("tier", "word", "in", ("gold", "Silver")), {1, 2}),
        (FieldTest("tier", "word", "not_in", ("gold",)), {2, 3}),
        (FieldTest("tier", "word", "exists", False), {3}),
        (FieldTest("tier", "word", "contains", "SILV"), {2}),
        (FieldTest("tier", "word", "not_contains", "SILV"), {1, 3}),
        (FieldTest("city", "word", "starts_with", "ÖR"), {1, 2}),
        (FieldTest("city", "word", "ends_with", "*"), {2}),
        (FieldTest("birthday", "date", "anniversary", A_DAY), {1}),
        (FieldTest("birthday", "date", "anniversary", Span(seconds=2 * 86_400)), {1, 2}),
        (FieldTest("created_at", "instant", "before", Ago(Span(months=13))), {1, 2, 3}),
        (FieldTest("email", "email", "is", "Ada@X.example"), {1}),
    ],
)
def test_fields(store: Store, test: FieldTest, expected: set[int]) -> None:
    """Missing fields fulfil the negative tests only; case counts in equality, not in parts of a text."""
    people = {
        1: person("a", fields={"tier": "gold", "city": "Örebro", "birthday": "1990-03-01", "email": "ada@x.example"}),
        2: person("b", fields={"tier": "Silver", "city": "örebro*", "birthday": "1990-03-02"}),
        3: person("c", fields={"birthday": "2026-03-01"}),
    }
    assert who(store, ContactIs((test,)), people) == expected


def test_today_is_the_contacts_own(store: Store) -> None:
    """At 09:30 UTC on 1 March it is still 28 February in Pago Pago, where leaplings celebrate this year."""
    today = ContactIs((FieldTest("birthday", "date", "anniversary", A_DAY),))
    zones = ("Europe/Berlin", "Pacific/Pago_Pago")
    people = {n: person(z, fields={"birthday": "1992-02-29", "timezone": z}) for n, z in enumerate(zones, 1)}
    assert who(store, today, people) == {2}


def test_since_a_message_counts_from_its_hand_over(store: Store) -> None:
    """Orders before the mail left do not count, nor any where it never left; before it, arrival counts."""
    sent = NOW - 2 * DAY
    here = (SendFact("sale", "email.sale", "email", sent, "accepted", 1),)

    def journey(*orders: int, sends: tuple[SendFact, ...] = here) -> Facts:
        return person(
            f"p{orders}{len(sends)}", events=tuple(EventFact("order", when) for when in orders), sends=sends,
            enrolments=(EnrolmentFact("sale", NOW - 9 * DAY, True),), journey=Journey(1, NOW - 9 * DAY),
        )  # fmt: skip

    write_facts(store, {1: journey(sent), 2: journey(sent + 1), 3: journey(sent + 1, sends=())})
    bought = HasEvent("order", since="email.sale")
    moment = at(store, campaign="sale")
    query = sa.select(t.enrolment.c.contact_id).where(where(bought, of_enrolment(), moment))
    with store.read() as connection:
        assert set(connection.scalars(query)) == {2}
        enrolment = connection.scalar(sa.select(t.enrolment.c.id).where(t.enrolment.c.contact_id == 2))
        assert journey_of(connection, enrolment, moment, ["email.sale"]).reached == {"email.sale": sent}
    with store.write("ledger") as connection:
        node = sa.select(t.node.c.id).scalar_subquery()
        third = t.enrolment.c.contact_id == 3
        connection.execute(t.enrolment.update().where(third).values(node_id=node, arrived_at=sent))
    with store.read() as connection:
        assert set(connection.scalars(query)) == {2, 3}


def test_an_analysts_sql_reads_contacts_and_null_is_no(store: Store) -> None:
    """An attribute that is missing makes the expression NULL: neither it nor its opposite is a surprise."""
    people = {
        1: person("a", fields={"tier": "gold"}, sql={"attrs ->> 'tier' = 'gold'": True}),
        2: person("b", sql={"attrs ->> 'tier' = 'gold'": False}),
    }
    gold = Sql("attrs ->> 'tier' = 'gold'")
    assert who(store, gold, people) == {1}
    assert who(store, Not(gold), people) == {2}
    with store.read() as connection:
        known = facts_of(connection, [1, 2], at(store), sql=[gold.text])
    assert {number: facts.sql[gold.text] for number, facts in known.items()} == {1: True, 2: False}


@pytest.mark.parametrize(
    "text",
    [
        "1 = 1; DROP TABLE core.contact", "1 = 1) OR (1 = 1", "id IN (SELECT id FROM core.contact)", "1 = 1 -- x", "(1 = 1",
        "pg_sleep(9) IS NULL", "id = :id", "id = ?", "/* */ 1 = 1", "core.setting = 1", "E'\\' = ' OR 1", "", "id = $1",
        "- - 1 = 1 AND load_extension('x')", "\"password\" = ''",
    ],
)  # fmt: skip
def test_sql_that_could_do_more_than_read_a_contact_is_refused(text: str) -> None:
    """One expression over the columns of contact, nothing else."""
    with pytest.raises(ConditionError, match="sql"):
        where(Sql(text), of_contact(), Moment(NOW, "sqlite"))


@pytest.mark.parametrize(
    "condition, said",
    [
        (InSegment("a"), "circle: a → b → a"),
        (InSegment("c"), "no segment is called 'c'"),
        (Later("tier", "gold"), "tier cannot be asked yet"),
        (HasEvent("order", since="entry"), "a segment has none"),
        (HasEvent("order", same=(Same("a", "a"),)), "a segment has none"),
        (Responded("clicked", "step", "email.a"), "a segment has none"),
        (TriggerIs((FieldTest("a", "word", "is", "x"),)), "a segment has none"),
        (AnswerIs((FieldTest("a", "word", "is", "x"),)), "a segment has none"),
        (Consented("email"), "name the topic"),
    ],
)
def test_what_cannot_be_asked_says_so_in_both_evaluators(condition: Condition, said: str) -> None:
    """A journey's word in a segment, a cycle, a word without an engine: an error, never nobody or everybody."""
    moment = Moment(NOW, "sqlite", segments={"a": All((InSegment("b"),)), "b": Not(InSegment("a"))})
    with pytest.raises(ConditionError, match=said):
        where(condition, of_contact(), moment)
    with pytest.raises(ConditionError, match=said):
        trace(condition, person(events=(EventFact("order", NOW),), sends=mail()), moment)


def test_merged_and_erased_contacts_are_nobody(store: Store) -> None:
    """They match nothing, not even everyone."""
    write_facts(store, {1: person("a"), 2: person("b"), 3: person("c")})
    with store.write("core") as connection:
        connection.execute(t.contact.update().where(t.contact.c.id == 1).values(merged_into=2))
        connection.execute(t.contact.update().where(t.contact.c.id == 3).values(erased_at=NOW))
    with store.read() as connection:
        assert sample(connection, All(()), at(store), 9) == [2]
        assert count(connection, All(()), at(store)) == 1


def test_a_segment_is_counted_and_shown_with_reasons(store: Store) -> None:
    """Number, share, whom a message reaches, the newest event; and for each member the facts that decide."""
    orders = (EventFact("order", NOW - 9 * DAY), EventFact("order", NOW - DAY))
    people = {
        1: person("a", fields={"email": "a@x.example"}, events=orders, open_channels=frozenset({"email"})),
        2: person(
            "b", fields={"tier": "gold"}, permitted=frozenset({("offers", "email")}), open_channels=frozenset({"email"})
        ),
        3: person("c"),
    }
    write_facts(store, people)
    segment = Segment("good", "Good people", AnyOf((
        HasEvent("order", count=Compare("at_least", 2)), ContactIs((FieldTest("tier", "word", "is", "gold"),)),
    )))  # fmt: skip
    with store.read() as connection:
        counted = count_segment(connection, segment, at(store, topic="offers"), ["email", "sms"])
        shown = show_segment(connection, segment, at(store), 20, [("offers", "email")])
    assert (counted.members, counted.contacts, counted.newest_event_at) == (2, 3, NOW - DAY)
    assert counted.reachable == {"email": 1, "sms": 0}
    assert [(m.shop_id, m.email, m.why) for m in shown] == [
        ("a", "a@x.example", "2 order, newest 2026-02-28"),
        ("b", None, "tier gold"),
    ]


def test_a_trace_says_which_parts_hold_and_why() -> None:
    """The tree that `explain` shows: each part's question, answer and finding."""
    condition = All((HasEvent("order", Span(seconds=30 * 86_400)), Not(InList("staff"))))
    found = trace(
        condition, person(events=(EventFact("order", NOW - DAY),), lists=frozenset({"staff"})), Moment(NOW, "sqlite")
    )
    assert (found.asks, found.holds) == ("order in the last 30d and not on list staff", False)
    assert [(p.asks, p.holds, p.found) for p in found.parts] == [
        ("order in the last 30d", True, "1 order in the last 30d, newest 2026-02-28"),
        ("not on list staff", False, ""),
    ]
    assert reasons(found) == ["on list staff"]


@pytest.mark.parametrize(
    "condition, expected",
    [
        (HasEvent("order"), Dependencies(events=frozenset({"order"}))),
        (
            HasEvent("order", A_DAY, same=(Same("a", "a"),)),
            Dependencies(events=frozenset({"order"}), time=True, trigger=True),
        ),
        (ContactIs((FieldTest("tier", "word", "is", "x"),)), Dependencies(fields=frozenset({"tier"}))),
        (
            ContactIs((FieldTest("born", "date", "anniversary", A_DAY),)),
            Dependencies(fields=frozenset({"born", "timezone"}), time=True),
        ),
        (Not(Responded("opened", "any", within=A_DAY)), Dependencies(feedback=True, time=True, anywhere=True)),
        (AnyOf((Reachable("sms"), InList("vip"))), Dependencies(standing=True, fields=frozenset({"list:vip"}))),
        (EnrolledIn(("a", "b")), Dependencies(campaigns=frozenset({"a", "b"}))),
        (Sql("id = 1"), Dependencies(fields=frozenset({"*"}))),
        (All(()), Dependencies()),
    ],
)
def test_what_can_change_an_answer(condition: Condition, expected: Dependencies) -> None:
    """Events, fields, feedback, consent, lists, campaigns, or time alone."""
    assert depends_on(condition) == expected


def test_segments_are_followed_to_any_depth() -> None:
    """Through `not` and `any`, and round a circle once."""
    segments: dict[str, Condition] = {
        "a": Not(InSegment("b")),
        "b": AnyOf((InSegment("c"), InSegment("a"))),
        "c": All(()),
    }
    assert segments_in("a", segments) == {"a", "b", "c"}
    assert depends_on(InSegment("x"), {"x": HasEvent("order")}).events == {"order"}


def test_an_intake_that_is_not_folded_is_noticed(store: Store) -> None:
    """Only a store without new intakes may answer from folded numbers."""
    with store.read() as connection:
        assert is_folded(connection)
    with store.write("events") as connection:
        connection.execute(t.intake.insert().values(received_at=NOW, source="test"))
    with store.read() as connection:
        assert not is_folded(connection)
