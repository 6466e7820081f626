"""Bodies from a second process are those that are built here, and whatever becomes of it nobody is forgotten."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.delivery import apart
from carillon.delivery import work as working
from carillon.delivery.apart import BodiesApart, built_apart, makers_of
from carillon.delivery.bodies import Bodies
from carillon.delivery.model import Built, ReadyBatch, WorkResult
from carillon.delivery.parcels import Unbuilt
from carillon.delivery.supply import Supply
from carillon.kernel.channels import Channel
from carillon.store import tables as t
from carillon.store.engine import Store
from connectors.sendgrid import connector as sendgrid
from connectors.twilio import connector as twilio
from tests.delivery.ground import NOW, Answer, Clocks, Provider, seed, states
from tests.delivery.test_bodies import KEYS, WITH_SENDERS, apply, mail
from tests.delivery.test_bodies import hand_over as bodies_handed_over

MAIL = (
    "{% if contact.first_name == 'gone' %}{% skip 'out of stock' %}{% endif %}"
    "<p>{{ contact.first_name }} {{ contact.note | default: '-' }}</p>"
)
NOTES = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.just("x" * 10_001),
)  # fmt: skip
NAMES = st.sampled_from(["Ada", "gone", "Dörte", None])


@pytest.fixture(autouse=True)
def is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first bodies come from the second process, too."""
    monkeypatch.setattr(apart, "AT_HAND_S", 60)


@contextmanager
def both(store: Store) -> Iterator[tuple[Bodies, BodiesApart]]:
    """Who builds here, and who has it done there."""
    connectors = {"sendgrid": sendgrid.make({"SENDGRID_API_KEY": "SG.x"})}
    clock = Clocks().campaign
    here = Bodies(store, connectors, WITH_SENDERS, KEYS, clock)
    with built_apart(here, store, makers_of(connectors), WITH_SENDERS, KEYS, clock) as there:
        assert isinstance(there, BodiesApart)
        yield here, there


def ready(store: Store) -> list[ReadyBatch]:
    with store.read() as connection:
        rows = connection.execute(sa.select(t.batch).order_by(t.batch.c.id)).all()
    return [
        ReadyBatch(r.id, r.campaign_id, r.node_id, r.arm, r.language, Channel(r.channel), r.sender, r.connector, r.n, None)
        for r in rows
    ]  # fmt: skip


def told(built: Built | Unbuilt) -> object:
    """All that a claim and a connector see of it."""
    if isinstance(built, Unbuilt):
        return built
    rows = range(len(built.parcel))
    bodies = [built.parcel.body(some) for some in (rows, rows[::2], rows[1:])] if rows else []  # type: ignore[attr-defined]
    return (
        built.batch,
        bodies,
        list(built.enrolments),
        list(built.addresses),
        built.needs,
        built.whole,
        dict(built.skips),
    )


def test_the_bodies_are_those_that_are_built_here(sqlite_store: Store) -> None:
    """Whatever people are called, who is withheld, whose values SendGrid does not take, and without any content."""
    seed(sqlite_store, 6, size=3, language="en", sender="shop")
    with sqlite_store.write("ledger") as connection:
        connection.execute(t.batch.insert().values(
            campaign_id=3, node_id=7, channel="email", connector="sendgrid", due_at=NOW, decided_at=NOW, n=0, language="fr",
            sender="shop",
        ))  # fmt: skip
    apply(sqlite_store, mail(MAIL))
    batches = ready(sqlite_store)
    with both(sqlite_store) as (here, there):

        @given(st.lists(st.tuples(NAMES, NOTES), min_size=6, max_size=6))
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def holds(people: list[tuple[str | None, str | None]]) -> None:
            with sqlite_store.write("core") as connection:
                for number, (name, note) in enumerate(people, 1):
                    attrs = {"first_name": name, "note": note}
                    connection.execute(t.contact.update().where(t.contact.c.id == number).values(attrs=attrs))
            answer = there._ask(batches)
            assert answer is not None
            assert [told(one) for one in answer] == [told(one) for one in here.build(batches)]
            assert isinstance(answer[2], Unbuilt)
            assert "nothing is applied for this message in fr" in answer[2].reason

        holds()


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def prepare(store: Store) -> None:
    """200 people in batches of ten, each batch asked for by itself."""
    seed(store, 200, size=10, language="en", sender="shop")
    apply(store, mail(MAIL))


def hand_over(store: Store, answer: Answer | None = None, *, are_many: bool = True) -> tuple[WorkResult, Provider]:
    """What `work` does while others are decided, or of few people; and the provider that it did it with."""
    supply = Supply(apart.MANY if are_many else apart.MANY - 1)
    supply.end()
    found: tuple[WorkResult, Provider] = bodies_handed_over(store, answer, supply)
    return found


@pytest.mark.parametrize("when", [1, 5])
def test_a_process_that_is_killed_is_replaced_by_this_one(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, when: int
) -> None:
    """Everybody gets the message once, and the log says why it takes longer now."""
    monkeypatch.setattr(working, "PEOPLE_AT_ONCE", 10)
    prepare(sqlite_store)
    before = children()
    killed: list[psutil.Process] = []

    def accept(number: int, cids: list[str]) -> web.Response:
        if number == when:
            (builder,) = children() - before
            builder.kill()
            killed.append(builder)
        return web.Response(status=202, headers={"X-Message-Id": "m"})

    with caplog.at_level(logging.WARNING):
        result, it = hand_over(sqlite_store, accept)
    assert len(killed) == 1
    assert result.people == {"accepted": 200}
    assert states(sqlite_store) == {"accepted": 200}
    assert set(it.got.values()) == {1}
    assert len(it.got) == 200
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the process that builds bodies has ended"
    ]
    assert children() == before


BROKEN_OFF = "o.write(pickle.dumps([]) + pickle.dumps(['x' * 900])[:500])"
UNREADABLE = "o.write(pickle.dumps([]) + b'cno_such_module\\nname\\n.'); o.flush(); sys.stdin.buffer.read()"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", [BROKEN_OFF, UNREADABLE])
def test_an_answer_that_breaks_off_or_cannot_be_read_is_none(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """It dies in the middle of a sentence, or says what nobody knows and stays: those bodies are built here."""
    monkeypatch.setattr(
        apart, "_COMMAND", (sys.executable, "-c", f"import pickle, sys; o = sys.stdout.buffer; {answer}")
    )
    prepare(sqlite_store)
    result, it = hand_over(sqlite_store)
    assert result.people == {"accepted": 200}
    assert set(it.got.values()) == {1}


def test_where_no_process_can_be_started_bodies_are_built_here(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the machine has no room for another one; the next campaign may try again."""
    monkeypatch.setattr(apart, "_COMMAND", ("no such command",))
    prepare(sqlite_store)
    with caplog.at_level(logging.WARNING):
        result, it = hand_over(sqlite_store)
    assert result.people == {"accepted": 200}
    assert set(it.got.values()) == {1}
    assert "no process could be started that builds bodies" in caplog.text
    assert not apart._ONLY.locked()


def test_a_process_that_does_not_come_is_waited_for_once(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then bodies are built here."""
    monkeypatch.setattr(apart, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(apart, "AT_HAND_S", 0.1)
    prepare(sqlite_store)
    before = children()
    result, it = hand_over(sqlite_store)
    assert result.people == {"accepted": 200}
    assert set(it.got.values()) == {1}
    assert children() == before


def test_what_it_cannot_do_is_tried_here(sqlite_store: Store) -> None:
    """An answer of nothing: whatever hinders it is raised here, or does not hinder us."""
    prepare(sqlite_store)
    with both(sqlite_store) as (here, there):
        batches = ready(sqlite_store)[:2]
        broken = [batches[0], "no batch"]
        assert there._ask(broken) is None  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            there.build(broken)  # type: ignore[arg-type]
        assert [told(one) for one in there.build(batches)] == [told(one) for one in here.build(batches)]


def test_ctrl_c_is_not_its_to_answer(sqlite_store: Store) -> None:
    """The terminal tells both; what has begun is built to its end, as for a hand-over that is stopped in order."""
    prepare(sqlite_store)
    before = children()
    with both(sqlite_store) as (_, there):
        batches = ready(sqlite_store)
        assert there._ask(batches[:1]) is not None
        (builder,) = children() - before
        builder.send_signal(signal.SIGINT)
        assert there._ask(batches[1:3]) is not None
    assert children() == before


def test_it_ends_where_nobody_asks_any_more(sqlite_store: Store) -> None:
    """Whoever asked was killed, and its end of the pipe with it."""
    prepare(sqlite_store)
    before = children()
    with both(sqlite_store) as (_, there):
        assert there._ask(ready(sqlite_store)[:1]) is not None
        (builder,) = children() - before
        there._asked.close()
        assert builder.wait(20) == 0


def test_one_process_builds_for_the_first_of_several(sqlite_store: Store) -> None:
    """Campaigns side by side: the others build for themselves, the next may have it again."""
    prepare(sqlite_store)
    with both(sqlite_store) as (here, _), built_apart(
        here, sqlite_store, {"sendgrid": here._connectors["sendgrid"]}, WITH_SENDERS, KEYS, Clocks().campaign
    ) as second:  # fmt: skip
        assert second is here
    with both(sqlite_store) as (_, there):
        assert there._ask(ready(sqlite_store)[:1]) is not None


def test_other_connectors_have_their_bodies_built_here(sqlite_store: Store) -> None:
    """A chunk that holds a batch of one that makes its parcels here only is built here whole."""
    assert makers_of({"twilio": twilio.make({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x"})}) == {}
    prepare(sqlite_store)
    with both(sqlite_store) as (here, there):
        here._connectors = {**here._connectors, "other": here._connectors["sendgrid"]}
        one, another = ready(sqlite_store)[:2]
        mixed = [one, replace(another, connector="other")]
        assert [told(built) for built in there.build(mixed)] == [told(built) for built in here.build(mixed)]
        assert not any(isinstance(built, Unbuilt) for built in there.build(mixed))


@pytest.mark.parametrize("are_many", [True, False])
def test_few_people_need_no_second_process(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, are_many: bool
) -> None:
    """It is started where others are decided meanwhile, and the store's statements run in this process."""
    begun = tmp_path / "begun"
    monkeypatch.setattr(apart, "_COMMAND", ("touch", str(begun)))
    prepare(store)
    result, _ = hand_over(store, are_many=are_many)
    assert result.people == {"accepted": 200}
    assert begun.exists() == (are_many and store.dialect == "sqlite")
