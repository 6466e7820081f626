"""A mail relay's moods, through the whole engine: one mailbox's refusal, the relay's own, and what nobody can know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.delivery.backoff import MOST_DEFERRALS_OF_A_PERSON
from carillon.kernel.clock import HOUR, MINUTE, SECOND, SystemClock
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.crash.house import WORKSPACE, House, Sink, sink
from tests.crash.relay import Relay, relaying
from tests.crash.test_moods import MAIL, NOW, applied, run


@dataclass
class PostOffice(House):
    """A house whose mails go by the relay."""

    relay: Relay = field(default_factory=Relay)

    def __post_init__(self) -> None:
        House.__post_init__(self)
        self.shop.write("workspace.yaml", WORKSPACE.replace("connector: sendgrid", "connector: smtp"))

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "SMTP_URL": f"smtp://127.0.0.1:{self.relay.port}"}


@pytest.fixture(scope="module")
def one_relay() -> Iterator[Relay]:
    with relaying() as relay:
        yield relay


@pytest.fixture(scope="module")
def one_sink() -> Iterator[Sink]:
    with sink() as it:
        yield it


@pytest.fixture
def office(sqlite_store: Store, tmp_path: Path, one_relay: Relay, one_sink: Sink) -> PostOffice:
    one_relay.reset()
    it = PostOffice(sqlite_store, tmp_path / "shop", one_sink, one_relay)
    it.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
    return it


def waits(office: PostOffice) -> list[tuple[int, int]]:
    """(people, how long they wait) of what is ready and waits for its hour, shortest first."""
    b = t.batch.c
    with office.store.read() as connection:
        rows = connection.execute(sa.select(b.n, b.retry_at).where(b.state == "ready", b.retry_at.is_not(None))).all()
    return sorted((n, at - SystemClock().now()) for n, at in rows)


def once_each(office: PostOffice, people: int) -> bool:
    return len(office.relay.arrived) == people and set(office.relay.arrived.values()) == {1}


@pytest.mark.parametrize("pipelines", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_refusals_of_one_person_are_told_apart_and_cost_nobody_else(office: PostOffice, pipelines: bool) -> None:
    """5.1.1 is dead and suppressed, 5.7.1 refused and not; a full mailbox waits alone; everybody else gets theirs."""
    office.relay.pipelines = pipelines
    office.relay.recipients = {
        "p3@": "550 5.1.1 no such user", "p4@": "550 5.7.1 not by our policy", "p5@": "452 4.2.2 mailbox full",
    }  # fmt: skip
    office.relay.ends = {"p6@": "554 5.6.0 not this content"}
    applied(office, MAIL, 150)
    run(office)
    assert office.states() == {"accepted": 146, "rejected": 3, "ready": 1}
    assert once_each(office, 146)
    [(people, wait)] = waits(office)
    assert people == 1
    assert 20 * SECOND < wait < MINUTE
    with office.store.read() as connection:
        dead = connection.execute(sa.select(t.suppression.c.address_key, t.suppression.c.reason)).tuples().all()
    assert dead == [("p3@example.com", "refused: 550 550 5.1.1 no such user")]
    office.relay.recipients = {}
    run(office)
    assert office.states() == {"accepted": 147, "rejected": 3}
    assert once_each(office, 147)


def test_a_relay_that_greylists_takes_everybody_at_the_second_asking(office: PostOffice) -> None:
    """All are asked to come back and none is lost; the campaign says who waits and until when."""
    office.relay.greylists = True
    applied(office, MAIL, 150)
    run(office)
    assert office.states() == {"ready": 150}
    seen = json.loads(office.command("status", "--now", NOW, "--json"))["campaigns"][0]
    assert (seen["state"], seen["ready"]) == ("running", 150)
    assert seen["next_due"] is not None
    run(office)
    assert office.states() == {"accepted": 150}
    assert once_each(office, 150)


def test_a_mailbox_that_never_has_room_is_given_up_after_days(office: PostOffice) -> None:
    """Each asking waits longer, up to four hours; after days of it the person is rejected, and the campaign goes on."""
    office.relay.recipients = {"p1@": "452 4.2.2 mailbox full"}
    applied(office, MAIL, 2)
    longest = 0
    for _ in range(2):
        run(office)
        longest = max(longest, waits(office)[0][1])
    assert MINUTE - 10 * SECOND < longest <= 2 * MINUTE
    with office.store.write("ledger") as connection:
        connection.execute(t.batch.update().where(t.batch.c.state == "ready").values(deferrals=20))
    run(office)
    assert 2 * HOUR - MINUTE < waits(office)[0][1] <= 4 * HOUR
    with office.store.write("ledger") as connection:
        connection.execute(
            t.batch.update().where(t.batch.c.state == "ready").values(deferrals=MOST_DEFERRALS_OF_A_PERSON - 1)
        )
    run(office)
    assert office.states() == {"accepted": 1, "rejected": 1}


def test_a_relay_that_closes_in_mid_session_costs_nobody(office: PostOffice) -> None:
    """421 after five mails on each connection: the rest goes over others, everybody gets one."""
    office.relay.closes_after = 5
    applied(office, MAIL, 60)
    for _ in range(12):
        run(office)
        if office.states() == {"accepted": 60}:
            break
    assert office.states() == {"accepted": 60}
    assert once_each(office, 60)


@pytest.mark.parametrize(
    "greeting",
    [pytest.param("421 4.3.2 too busy", id="421"), pytest.param(None, id="hangs up", marks=pytest.mark.soak)],
)
def test_a_relay_that_lets_nobody_in_for_now_is_asked_again(office: PostOffice, greeting: str | None) -> None:
    """Nothing left: all wait, hardly anything is asked of it, and when it opens all get theirs."""
    office.relay.greeting = greeting
    applied(office, MAIL, 130)
    run(office)
    assert office.states() == {"ready": 130}
    assert office.relay.connections <= 40
    office.relay.greeting = "220 mx.example ESMTP"
    run(office)
    assert office.states() == {"accepted": 130}
    assert once_each(office, 130)


@pytest.mark.parametrize("where", [pytest.param("greeting", marks=pytest.mark.soak), "sender"])
def test_a_relay_that_refuses_us_for_good_is_held(office: PostOffice, where: str) -> None:
    """554 to the connection or to the sender is no person's fault: the sends are kept, status says what to do."""
    setattr(office.relay, where, "554 5.7.1 you are not welcome")
    applied(office, MAIL, 20)
    run(office, expect=(1,))
    assert office.states() == {"ready": 20}
    assert "smtp takes nothing until a person looks" in office.command("status", "--now", NOW)
    office.relay.reset()
    office.command("resume", "--connector", "smtp", "--why", "they let us in again")
    run(office)
    assert office.states() == {"accepted": 20}


def test_a_server_in_trouble_at_data_is_left_alone_for_a_while(office: PostOffice) -> None:
    """451 4.3.0 speaks of the relay and not of a person: nobody is rejected, and not everybody is tried."""
    office.relay.data = {"p": "451 4.3.0 queue file write error"}
    applied(office, MAIL, 130)
    run(office)
    assert office.states() == {"ready": 130}
    office.relay.data = {}
    run(office)
    assert office.states() == {"accepted": 130}
    assert once_each(office, 130)


def test_a_connection_that_is_lost_behind_the_body_is_unsure_for_that_person(office: PostOffice) -> None:
    """The relay took the mail and hung up: nobody knows, and nobody gets a second; the others get theirs."""
    office.relay.ends = {"p7@": None}
    applied(office, MAIL, 40)
    for _ in range(3):
        run(office)
    assert office.states() == {"accepted": 39, "unsure": 1}
    assert once_each(office, 40)


def test_a_slow_relay_is_waited_for(office: PostOffice) -> None:
    """Each body takes half a second: everybody once."""
    office.relay.slow_s = 0.5
    applied(office, MAIL, 16)
    run(office)
    assert office.states() == {"accepted": 16}
    assert once_each(office, 16)
