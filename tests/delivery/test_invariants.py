"""Whatever a provider answers, in whatever order: the ledger's invariants hold (ledger.md §5)."""

from __future__ import annotations

from collections import Counter

from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.delivery.holds import go_on
from carillon.delivery.parting import unleased
from carillon.delivery.unsure import decide
from carillon.kernel.clock import HOUR, VirtualClock
from carillon.store import tables as t
from tests.delivery.ground import NOW, Clocks, faults, hand_over, seed, states, text_answer

MAYBE_SENT = {201, 202, 500, 502}
"""Answers after which a message may have left; never two of them for one person without a decision."""
MAIL = st.lists(st.sampled_from([202, 202, 202, 400, 413, 429, 500, 502, 401]), max_size=40)
TEXTS = st.lists(st.sampled_from([201] * 12 + [400, 429, 500, 401]), max_size=200)
FINAL = {"accepted", "unsure", "rejected"}

loosely = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def play(store, channel, answers, people, size):
    """Works until nothing is ready, each answer taken in turn, then all good; (cid → maybe sent, how often)."""
    seed(store, people, size=size, channel=channel, connector="sendgrid" if channel == "email" else "twilio")
    maybe: Counter[str] = Counter()
    left = list(answers)

    def answer(_: int, cids: list[str]) -> web.Response:
        status = left.pop(0) if left else (202 if channel == "email" else 201)
        if status in MAYBE_SENT:
            maybe.update(cids)
        return text_answer(status) if channel == "sms" else web.json_response({"errors": []}, status=status)

    machine = VirtualClock(NOW)
    for _ in range(60):
        hand_over(store, answer, clocks=Clocks(machine=machine))
        for connector in ("sendgrid", "twilio"):
            go_on(store, connector, who="ann", why="a new key", at=0)
        machine.move_to(machine.now() + HOUR)
        if set(states(store)) <= FINAL:
            return maybe
    raise AssertionError(f"somebody is still waiting: {states(store)}")


@given(answers=MAIL)
@loosely
def test_no_mail_is_begun_twice_and_none_is_lost(new_store, answers):
    """Any answers to requests of up to 30 people: each person maybe left once, and ends accepted, unsure or rejected."""
    store = new_store("sqlite")
    maybe = play(store, "email", answers, people=75, size=30)
    found = states(store)
    assert sum(found.values()) == 75
    assert max(maybe.values()) == 1
    assert sum(maybe.values()) == found.get("accepted", 0) + found.get("unsure", 0)


@given(answers=TEXTS)
@loosely
def test_no_text_is_begun_twice_and_none_is_lost(new_store, answers):
    """The same where people go one by one, in windows."""
    store = new_store("sqlite")
    maybe = play(store, "sms", answers, people=150, size=100)
    found = states(store)
    assert sum(found.values()) == 150
    assert max(maybe.values()) == 1
    assert sum(maybe.values()) == found.get("accepted", 0) + found.get("unsure", 0)


def test_only_a_written_decision_begins_anybody_twice(store):
    """Unsure people stay unsure for ever; after a person's resend they are begun a second time, and only they."""
    seed(store, 20, size=10)
    hand_over(store, lambda n, _: web.Response(status=500 if n == 1 else 202))
    assert states(store) == {"accepted": 10, "unsure": 10}
    with store.read() as c:
        batch_id = c.execute(t.batch.select().where(t.batch.c.state == "unsure")).one().id
    decide(store, [batch_id], "resend", who="ann", why="not in SendGrid's log", now=NOW, machine_now=NOW)
    _, it = hand_over(store)
    assert (sum(it.got.values()), states(store)) == (0, {"accepted": 10, "unsure": 10})  # a wish, until it is decided
    with store.write("ledger") as c:  # what the pass writes that lets them (tests/delivery/test_resend.py)
        c.execute(t.batch.update().where(t.batch.c.id == batch_id).values(state="ready", **unleased()))
    _, it = hand_over(store)
    assert (sum(it.got.values()), states(store), faults(store)) == (10, {"accepted": 20}, [])
