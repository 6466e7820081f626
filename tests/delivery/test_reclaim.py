"""Reclaim and unsure: what a worker left behind, and who may decide about it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa

from carillon.delivery.evidence import settle_by_evidence
from carillon.delivery.reclaim import reclaim
from carillon.delivery.release import release_campaign, release_late, withdraw
from carillon.delivery.unsure import WANTED_AGAIN, decide, settle_unsure, unsure_batches
from carillon.kernel.clock import HOUR, MINUTE, SECOND
from carillon.kernel.durations import Span
from carillon.plan.rules import UnsurePolicy
from carillon.store import tables as t
from carillon.store.by_contact import lay_by_contact
from tests.delivery.ground import NOW, RULES, faults, hand_over, seed, states
from tests.delivery.test_bodies import apply_plan

LATER = NOW + 2 * HOUR


def claimed(store, batch_id, worker="somewhere/1/2", **columns):
    with store.write("ledger") as c:
        lease = {"state": "claimed", "worker": worker, "lease_until": NOW + MINUTE, "claimed_at": NOW, "begun_at": NOW}
        c.execute(t.batch.update().where(t.batch.c.id == batch_id).values(**lease | columns))
        c.execute(t.attempt.insert().values(batch_id=batch_id, no=1, began_at=NOW, status="begun"))


def report(store, enrolment_id, at=NOW + MINUTE, contact_id=None):
    with store.write("events") as c:
        c.execute(
            t.event.insert().values(
                occurred_at=at, hash64=enrolment_id, kind="message.delivered", contact_id=contact_id or enrolment_id,
                intake_id=1, node_id=7, enrolment_id=enrolment_id, props={},
            )
        )  # fmt: skip
        lay_by_contact(c, "events.event")


def wanted_since(store):
    """The instants from which unsure batches are wanted once more."""
    with store.read() as c:
        b = t.batch.c
        return list(c.scalars(sa.select(b.resend_at).where(b.state == "unsure", b.resend_at.is_not(None))))


def reclaim_at(store, machine_now):
    return dict(reclaim(store, now=LATER, machine_now=machine_now))


def dead_worker():
    """The id of a process that has lived on this host and is gone."""
    code = "from carillon.kernel.worker import worker_id; print(worker_id())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_claim_lapses_with_its_lease_and_not_before(store):
    """A begun batch becomes unsure when the minute is over; one that began nothing is ready again."""
    seed(store, 20, size=10)
    claimed(store, 1)
    claimed(store, 2, begun_at=None)
    assert reclaim_at(store, NOW + MINUTE - 1) == {}
    assert reclaim_at(store, NOW + MINUTE) == {"unsure": 10, "ready": 10}
    assert states(store) == {"ready": 10, "unsure": 10}
    assert reclaim_at(store, NOW + MINUTE) == {}


def test_the_claim_of_a_dead_process_lapses_at_once(store):
    """On the same host nobody waits for the lease of a process that is gone; what it had only taken is free again."""
    seed(store, 20, size=10)
    gone = dead_worker()
    claimed(store, 1, worker=gone)
    with store.write("ledger") as c:
        c.execute(t.batch.update().where(t.batch.c.id == 2).values(worker=gone, lease_until=NOW + 99 * HOUR))
    result, it = hand_over(store)
    assert states(store) == {"accepted": 10, "unsure": 10}
    assert (result.accepted, it.requests) == (10, 1)


def test_of_a_batch_that_goes_one_by_one_only_the_open_window_is_unsure(store):
    """Ten have receipts, the window reaches to 64, the rest never began: 10 accepted, 54 unsure, 36 ready."""
    seed(store, 100, channel="sms", connector="twilio")
    claimed(store, 1, begun_through=64)
    with store.write("ledger") as c:
        c.execute(
            t.receipt.insert(), [{"node_id": 7, "enrolment_id": i, "provider_ref": f"SM{i}"} for i in range(1, 11)]
        )
    assert reclaim_at(store, NOW + MINUTE) == {"accepted": 10, "unsure": 54, "ready": 36}
    assert states(store) == {"accepted": 10, "ready": 36, "unsure": 54}
    assert faults(store) == []


def test_one_report_settles_a_whole_request(store):
    """A SendGrid request is accepted whole: one person's delivery proves all ten; the other batch stays unsure."""
    seed(store, 20, size=10)
    claimed(store, 1)
    claimed(store, 2)
    reclaim_at(store, NOW + MINUTE)
    report(store, 3)
    assert settle_by_evidence(store, now=LATER, machine_now=LATER) == 10
    assert states(store) == {"accepted": 10, "unsure": 10}
    assert settle_by_evidence(store, now=LATER, machine_now=LATER) == 0


def test_a_report_about_a_text_settles_its_person_only(store):
    """Where people went one by one, a report proves nothing about the others; it may also have come before the lapse."""
    seed(store, 10, channel="sms", connector="twilio")
    claimed(store, 1, begun_through=64)
    report(store, 4)
    reclaim_at(store, NOW + MINUTE)
    assert settle_by_evidence(store, now=LATER, machine_now=LATER) == 1
    assert states(store) == {"accepted": 1, "unsure": 9}
    assert faults(store) == []


@pytest.mark.parametrize(
    "policy, reports, hours, resent",
    [
        (UnsurePolicy("hold"), True, 99, 0),
        (UnsurePolicy("resend"), False, 0, 10),
        (UnsurePolicy("resend_after", Span(seconds=6 * 3600)), True, 5, 0),
        (UnsurePolicy("resend_after", Span(seconds=6 * 3600)), True, 6, 10),
        (UnsurePolicy("resend_after", Span(seconds=6 * 3600)), False, 6, 0),
    ],
)
def test_the_policy_decides_what_silence_means(sqlite_store, policy, reports, hours, resent):
    """Held for ever, sent again at once, or after six hours in which reports about others came in."""
    from dataclasses import replace

    store = sqlite_store
    seed(store, 10)
    apply_plan(store)
    claimed(store, 1)
    reclaim_at(store, NOW + MINUTE)
    assert settle_unsure(store, RULES, now=LATER, machine_now=LATER) == {}
    if reports:
        report(store, 999)
    rules, now = replace(RULES, if_unsure_marketing=policy), LATER + hours * HOUR
    assert settle_unsure(store, rules, now=now, machine_now=now) == ({WANTED_AGAIN: resent} if resent else {})
    assert states(store) == {"unsure": 10}
    assert wanted_since(store) == ([now] if resent else [])


@pytest.mark.parametrize("decision, state", [("accept", "accepted"), ("resend", "unsure"), ("close", "closed")])
def test_a_person_decides_with_a_reason(store, decision, state):
    """The word of a person settles the batch once, and who and why stand in the attempt and in the audit."""
    seed(store, 10)
    claimed(store, 1)
    reclaim_at(store, NOW + MINUTE)
    with store.read() as c:
        (known,) = unsure_batches(c, "sale")
    assert (known.step, known.people, known.since, known.reports_of_others) == ("email.sale", 10, LATER, False)
    with pytest.raises(ValueError, match="say why"):
        decide(store, [1], decision, who="ann", why=" ", now=LATER, machine_now=LATER)
    by = {"who": "ann", "why": "asked SendGrid", "now": LATER, "machine_now": LATER}
    assert [decide(store, [1], decision, **by), decide(store, [1], decision, **by)] == [{1: 10}, {}]
    assert states(store) == {state: 10}
    with store.read() as c:
        assert c.execute(sa.select(t.attempt.c.status, t.attempt.c.note).where(t.attempt.c.no == 2)).one() == (
            decision,
            "ann: asked SendGrid",
        )
        assert c.execute(sa.select(t.audit.c.who, t.audit.c.what)).one() == ("ann", f"unsure {decision}")
    assert wanted_since(store) == ([LATER] if decision == "resend" else [])
    assert hand_over(store)[0].people == {}


def test_released_people_are_due_again(store):
    """Too late, or paused: the rows go, and each stands at the step with the due instant that it had."""
    seed(store, 20, size=10)
    with store.write("ledger") as c:
        c.execute(t.batch.update().where(t.batch.c.id == 1).values(not_after=NOW + SECOND))
        assert release_late(c, NOW) == 0
        assert release_late(c, NOW + SECOND) == 10
    assert states(store) == {"ready": 10}
    with store.write("ledger") as c:
        assert release_campaign(c, 3, note="paused") == 10
        assert c.execute(sa.select(t.enrolment.c.due_at).distinct()).scalars().all() == [NOW]
        assert c.execute(sa.select(sa.func.count()).select_from(t.send)).scalar() == 0
    assert faults(store) == []


def test_a_stopped_campaign_withdraws_what_is_ready(store):
    """Stop: what is ready never goes out, what is accepted stays accepted."""
    seed(store, 20, size=10)
    with store.write("ledger") as c:
        c.execute(t.batch.update().where(t.batch.c.id == 1).values(state="accepted"))
        assert withdraw(c, 3, at=LATER) == 10
    assert states(store) == {"accepted": 10, "withdrawn": 10}
