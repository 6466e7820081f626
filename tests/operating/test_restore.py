"""A backup, what left after it, and its restore: nobody gets two, and nobody gets out without being counted."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.delivery.evidence import settle_by_evidence
from carillon.delivery.protocol import Unsure
from carillon.delivery.reserve import reserve
from carillon.delivery.unsure import decide, settle_by_policy
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.kernel.clock import DAY, VirtualClock, from_micros
from carillon.operating.archive import BadArchive, Manifest, back_up, read_manifest
from carillon.operating.gap import may_have_left
from carillon.operating.replace_store import Restored, mark_and_account, replace_store
from carillon.operating.restored import mark_of
from carillon.operating.resume import resume_restored
from carillon.plan.applied import load_rules
from carillon.plan.rules import Rules, UnsurePolicy
from carillon.store import tables as t
from carillon.store.migrate import open_store
from carillon.store.sqlite import driver
from carillon.store.zones import ready_for_zones
from tests.shop import Shop

SERIES = """\
title: Series
audience: {reachable: email}
entry: {at: 2026-11-03 09:00, if_late: skip after 30d}
journey: [{email: one}, {wait: 2d}, {email: two}, {wait: 2d}, {email: three}]
"""
NEWSLETTER = "title: News\naudience: {reachable: email}\nentry: {every: day, at: 10:00}\njourney: [{email: hello}]\n"
THANKS = "title: Thanks\nentry: {event: order_completed}\njourney: [{email: thanks}]\n"


def most_people(rules: Rules) -> dict[str, int]:
    return {s.connector: 1000 for s in rules.senders}


def backup(shop: Shop, to: Path) -> Manifest:
    clock = VirtualClock(shop.clock.now())
    return back_up(shop.store, to, version="1", key_file=shop.folder / "secret.key", clock=clock)


def restore(shop: Shop, archive: Path) -> Restored:
    return replace_store(
        shop.store, archive, key_file=shop.folder / "secret.key", most_people=most_people, who="ann",
        now=shop.clock.now(),
    )  # fmt: skip


def resume(shop: Shop, *, nothing_left: bool = False) -> list[str]:
    return resume_restored(
        shop.store, nothing_left=nothing_left, most_people=most_people, who="ann", now=shop.clock.now()
    ).campaigns


def letters(shop: Shop) -> Counter[tuple[str, str]]:
    """(who, what) → how many of it really arrived, before and after the restore."""
    return Counter((letter.address, letter.text) for letter in shop.mail.letters)


@pytest.mark.parametrize(
    "gap_days", [pytest.param(n, marks=pytest.mark.soak if n != 3 else ()) for n in (0, 1, 2, 3, 5, 9)]
)
def test_an_older_ledger_sends_nobody_the_same_twice(shop: Shop, tmp_path: Path, gap_days: int):
    """The backup lies before the first letter; letters left for days; after the restore the rest goes out once."""
    shop.people(3)
    shop.campaign("series", SERIES)
    shop.campaign("newsletter", NEWSLETTER)
    shop.apply()
    shop.at("2026-11-03 08:00")
    backup(shop, tmp_path / "b.zip")
    for day in range(gap_days):
        for name in ("series", "newsletter"):
            shop.run_to(name, f"2026-11-{3 + day:02} 12:00")
    gone = letters(shop)
    restored = restore(shop, tmp_path / "b.zip")
    assert sum(restored.gap.unsure.values()) >= sum(gone.values())
    shop.run("series"), shop.run("newsletter")
    assert letters(shop) == gone, "held: nothing goes out before a person has looked"

    resume(shop)
    for day in range(gap_days, 11):
        for name in ("series", "newsletter"):
            shop.run_to(name, f"2026-11-{3 + day:02} 12:00")

    twice = {what: n for what, n in (letters(shop) - gone).items() if what in gone and "hello" not in what[1]}
    assert twice == {}
    assert max(n for (_, text), n in letters(shop).items() if text != "hello") == 1
    hellos = {n for (_, text), n in letters(shop).items() if text == "hello"}
    assert hellos == {11}, "each day's newsletter once"
    assert {text for _, text in letters(shop)} == {"one", "two", "three", "hello"}
    assert shop.violations() == []


def test_what_was_ready_at_the_backup_is_unsure_and_a_report_proves_one_person_each(shop: Shop, tmp_path: Path):
    """A batch that was reserved and not handed over: the run that is lost may have cut it in other parts."""
    shop.people(3)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.at("2026-11-03 09:00")
    ready_for_zones(shop.store)
    ground = load_ground(shop.store, "series", shop.clock.now())
    enter(ground)
    reserve([ground], max_people={})
    assert set(shop.sends("email.one").values()) == {"ready"}
    backup(shop, tmp_path / "b.zip")
    shop.run("series")

    restore(shop, tmp_path / "b.zip")

    assert shop.sends("email.one") == dict.fromkeys(["p0001", "p0002", "p0003"], "unsure")
    shop.click("p0002", "email.one")
    shop.at(shop.clock.now() + DAY)
    assert settle_by_evidence(shop.store, now=shop.clock.now(), machine_now=shop.clock.now()) == 1
    assert shop.sends("email.one") == {"p0001": "unsure", "p0002": "accepted", "p0003": "unsure"}


def test_nothing_goes_out_days_later_either_until_a_person_has_looked(shop: Shop, tmp_path: Path):
    """What falls due after the restore waits for `resume --after-restore`, and goes out then."""
    shop.people(2)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.run("series", "2026-11-03 09:00")
    backup(shop, tmp_path / "b.zip")
    restore(shop, tmp_path / "b.zip")
    gone = letters(shop)

    shop.run("series", "2026-11-05 09:01")
    assert letters(shop) == gone
    resume(shop)
    shop.run("series", "2026-11-05 09:02")
    assert Counter(text for _, text in letters(shop)) == {"one": 2, "two": 2}


def test_no_policy_sends_again_what_a_restore_made_unsure(shop: Shop, tmp_path: Path):
    """`if_unsure: resend` was said for one lost answer, not for days that nobody remembers."""
    shop.people(2)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.at("2026-11-03 08:00")
    backup(shop, tmp_path / "b.zip")
    shop.run("series", "2026-11-03 09:00")
    restore(shop, tmp_path / "b.zip")
    with shop.store.read() as connection:
        rules = replace(load_rules(connection), if_unsure_marketing=UnsurePolicy("resend"))

    assert settle_by_policy(shop.store, rules, now=shop.clock.now(), machine_now=0) == 0
    assert may_have_left(shop.store) == {("series", "email.one"): 2}


def test_what_was_unsure_at_the_backup_may_have_been_settled_since_and_is_no_policys_any_more(
    shop: Shop, tmp_path: Path
):
    """The lost run may have sent it again, in other parts: no policy does, and a report proves one person."""
    shop.people(2)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.mail.answer = lambda _: Unsure("no answer came")
    shop.run("series", "2026-11-03 09:00")
    assert set(shop.sends("email.one").values()) == {"unsure"}
    backup(shop, tmp_path / "b.zip")
    restore(shop, tmp_path / "b.zip")
    with shop.store.read() as connection:
        rules = replace(load_rules(connection), if_unsure_marketing=UnsurePolicy("resend"))

    assert settle_by_policy(shop.store, rules, now=shop.clock.now(), machine_now=0) == 0
    shop.click("p0002", "email.one")
    assert settle_by_evidence(shop.store, now=shop.clock.now(), machine_now=shop.clock.now()) == 1
    assert shop.sends("email.one") == {"p0001": "unsure", "p0002": "accepted"}


def test_a_person_may_say_that_nothing_left(shop: Shop, tmp_path: Path):
    """The machine stood still since the backup: what is unsure goes out, with the decision written beside it."""
    shop.people(2)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.at("2026-11-03 08:00")
    backup(shop, tmp_path / "b.zip")
    shop.at("2026-11-03 09:30")
    restore(shop, tmp_path / "b.zip")
    resume(shop, nothing_left=True)

    shop.run("series")

    assert shop.inbox == ["p0001", "p0002"]
    assert shop.violations() == []


def test_a_person_may_send_one_unsure_batch_again(shop: Shop, tmp_path: Path):
    """Somebody at the provider knows that this one never came: `carillon unsure --resend`."""
    shop.people(2)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.at("2026-11-03 08:00")
    backup(shop, tmp_path / "b.zip")
    shop.at("2026-11-03 09:30")
    restore(shop, tmp_path / "b.zip")
    resume(shop)
    with shop.store.read() as connection:
        batches = list(connection.scalars(sa.select(t.batch.c.id).where(t.batch.c.state == "unsure")))

    now = shop.clock.now()
    assert decide(shop.store, batches, "resend", who="ann", why="asked SendGrid", now=now, machine_now=now) == {
        batches[0]: 2
    }
    shop.run("series")

    assert shop.inbox == ["p0001", "p0002"]


def test_events_from_before_the_restore_take_nobody_in_a_second_time(shop: Shop, tmp_path: Path):
    """One event was known and not acted upon, one is told again by the shop, one is new."""
    for name in ("ada", "bob", "cleo"):
        shop.contact(name)
    shop.campaign("thanks", THANKS)
    shop.apply()
    shop.at("2026-11-03 08:00")
    shop.order("ada")
    backup(shop, tmp_path / "b.zip")
    shop.at("2026-11-03 09:00")
    shop.order("bob")
    shop.run("thanks")
    assert sorted(shop.inbox) == ["ada", "bob"]
    restore(shop, tmp_path / "b.zip")
    resume(shop)

    shop.order("bob", at="2026-11-03 09:00")
    shop.run("thanks", "2026-11-03 09:05")
    shop.order("cleo")
    shop.run("thanks", "2026-11-03 09:10")

    assert sorted(shop.inbox) == ["ada", "bob", "cleo"]
    assert shop.sends("email.thanks") == {"ada": "unsure", "cleo": "accepted"}


def test_who_enters_after_a_restore_never_takes_over_a_lost_number(shop: Shop, tmp_path: Path):
    """A link in a mail that the ledger has forgotten must not speak for somebody else."""
    shop.people(2)
    shop.campaign("series", SERIES)
    shop.apply()
    shop.at("2026-11-03 08:00")
    backup(shop, tmp_path / "b.zip")
    shop.run("series", "2026-11-03 09:00")
    with shop.store.read() as connection:
        lost = set(connection.scalars(sa.select(t.enrolment.c.id)))
    restore(shop, tmp_path / "b.zip")

    with shop.store.read() as connection:
        now = set(connection.scalars(sa.select(t.enrolment.c.id)))
    assert not lost & now


def test_a_campaign_applied_after_the_restore_begins_paused_and_its_past_occasion_is_unsure(shop: Shop, tmp_path: Path):
    """It may have been applied since the backup, and have sent: the store cannot know."""
    shop.people(2)
    shop.campaign("newsletter", NEWSLETTER)
    shop.apply()
    backup(shop, tmp_path / "b.zip")
    shop.campaign("series", SERIES)
    shop.apply()
    shop.run("series", "2026-11-03 09:00")
    gone = letters(shop)
    restore(shop, tmp_path / "b.zip")

    shop.force("series")
    shop.run("series")
    assert letters(shop) == gone
    assert resume(shop) == ["newsletter", "series"]
    shop.run("series")

    assert letters(shop) == gone
    assert shop.sends("email.one") == {"p0001": "unsure", "p0002": "unsure"}


def test_paused_and_stopped_stay_so(shop: Shop, tmp_path: Path):
    """A restore and its end change nothing of what a person had said before."""
    from carillon.plan.operate import set_operator_state

    shop.people(2)
    for name in ("series", "newsletter"):
        shop.campaign(name, SERIES if name == "series" else NEWSLETTER)
    shop.apply()
    set_operator_state(shop.store, ["series"], "paused", who="ann", at=shop.clock.now())
    set_operator_state(shop.store, ["newsletter"], "stopped", who="ann", at=shop.clock.now())
    backup(shop, tmp_path / "b.zip")
    restore(shop, tmp_path / "b.zip")
    resume(shop)

    with shop.store.read() as connection:
        rows = connection.execute(sa.select(t.campaign.c.name, t.campaign.c.operator_state, t.campaign.c.hold_reason))
        assert {tuple(row) for row in rows} == {("series", "paused", None), ("newsletter", "stopped", None)}
        assert mark_of(connection) is None


def test_a_postgresql_is_marked_in_its_place(any_shop: Shop):
    """After pg_restore: `carillon restore --taken-at` holds and accounts for the store as it stands."""
    shop = any_shop
    shop.people(3)
    shop.campaign("series", SERIES)
    shop.apply()
    taken_at = shop.clock.now()
    shop.at("2026-11-03 10:00")

    _, gap = mark_and_account(shop.store.url, taken_at, most_people=most_people, who="ann", now=shop.clock.now())

    assert gap.unsure == {("series", "email.one"): 3}
    shop.run("series")
    assert shop.inbox == []
    resume(shop)
    shop.run_to("series", "2026-11-06 12:00")
    assert Counter(letter.text for letter in shop.mail.letters) == {"two": 3}
    assert shop.violations() == []


# ------------------------------------------------------------------------------------------------------ the archive


def test_an_archive_says_when_it_was_taken_and_of_what_layout(shop: Shop, tmp_path: Path):
    """The manifest stands in the archive, readable without Carillon; others cannot read the file."""
    (shop.folder / "secret.key").write_text("a key made here")
    manifest = backup(shop, tmp_path / "b.zip")

    assert read_manifest(tmp_path / "b.zip") == manifest
    assert manifest.taken_at == shop.clock.now()
    assert [file.name for file in manifest.files] == ["core.db", "events.db", "ledger.db", "secret.key"]
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600


def test_a_restore_brings_the_key_back_and_keeps_what_stood_there(shop: Shop, tmp_path: Path):
    """Links in mails that have left are sealed with the key of the backup."""
    (shop.folder / "secret.key").write_text("old")
    shop.people(2)
    backup(shop, tmp_path / "b.zip")
    (shop.folder / "secret.key").write_text("new")
    shop.people(3, prefix="q")

    restored = restore(shop, tmp_path / "b.zip")

    assert shop.count(t.contact) == 2
    assert (shop.folder / "secret.key").read_text() == "old"
    assert (restored.kept / "secret.key").read_text() == "new"
    assert {p.name for p in restored.kept.iterdir()} >= {"carillon.db", "carillon.events.db", "carillon.ledger.db"}


def test_a_damaged_archive_changes_nothing(shop: Shop, tmp_path: Path):
    """One byte is another: refused before anything is touched."""
    shop.people(2)
    backup(shop, tmp_path / "b.zip")
    _rewritten(tmp_path / "b.zip", "ledger.db", lambda raw: raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:])
    shop.people(1, prefix="q")

    with pytest.raises(BadArchive, match=r"ledger\.db .* is damaged"):
        restore(shop, tmp_path / "b.zip")
    assert shop.count(t.contact) == 3


def test_an_archive_of_a_newer_carillon_is_refused_with_its_version(shop: Shop, tmp_path: Path):
    """Its layout is known to that version alone."""
    backup(shop, tmp_path / "b.zip")

    def newer(raw: bytes) -> bytes:
        told = json.loads(raw)
        return json.dumps({**told, "version": "9.9", "layout": {**told["layout"], "ledger": "ledger_9999"}}).encode()

    _rewritten(tmp_path / "b.zip", "manifest.json", newer)
    with pytest.raises(BadArchive, match=r"newer Carillon \(9\.9\): its part ledger stands at ledger_9999"):
        restore(shop, tmp_path / "b.zip")


def test_a_backup_is_whole_while_others_write(shop: Shop, tmp_path: Path):
    """A writer holds the ledger's lock, and what it has not committed is not in the copy."""
    shop.people(2)
    with shop.store.write("ledger") as connection:
        connection.execute(t.lease.insert().values(name="x", holder="y", until=1))
        backup(shop, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extract("ledger.db", tmp_path)
    copied = driver.connect(tmp_path / "ledger.db")
    assert copied.execute("SELECT count(*) FROM lease").fetchone() == (0,)
    copied.close()


class _BusyClock:
    """A clock of a shop in which something happens between two looks at it: a backup looks before each part."""

    def __init__(self, shop: Shop, deeds: dict[int, Callable[[], object]]) -> None:
        self.shop, self.deeds, self.looks = shop, deeds, 0

    def now(self) -> int:
        self.looks += 1
        self.deeds.get(self.looks, lambda: None)()
        return self.shop.clock.now()


def test_the_ledger_is_copied_last_and_knows_what_left_while_the_others_were_copied(shop: Shop, tmp_path: Path):
    """A newsletter leaves between the copies of core and events: in the restored store it stands as accepted."""
    shop.people(3)
    shop.campaign("newsletter", NEWSLETTER)
    shop.apply()
    shop.at("2026-11-03 10:00")
    clock = _BusyClock(shop, {3: lambda: shop.run("newsletter")})

    manifest = back_up(shop.store, tmp_path / "b.zip", version="1", key_file=tmp_path / "none", clock=clock)

    assert shop.inbox == ["p0001", "p0002", "p0003"], "it happened between began_at, core | events, ledger"
    assert (clock.looks, manifest.taken_at) == (4, shop.clock.now())
    shop.at("2026-11-03 11:00")
    restore(shop, tmp_path / "b.zip")
    resume(shop)
    shop.run("newsletter")
    assert shop.sends("email.hello") == dict.fromkeys(["p0001", "p0002", "p0003"], "accepted")
    assert max(letters(shop).values()) == 1


def _rewritten(archive: Path, name: str, change: object) -> None:
    with zipfile.ZipFile(archive) as opened:
        files = {n: opened.read(n) for n in opened.namelist()}
    files[name] = change(files[name])  # type: ignore[operator]
    with zipfile.ZipFile(archive, "w") as opened:
        for n, raw in files.items():
            opened.writestr(n, raw)


def test_a_restored_store_opens_as_any_other(shop: Shop, tmp_path: Path):
    """Files in WAL mode, at the newest layout, with nothing of the restore left beside them."""
    shop.people(2)
    backup(shop, tmp_path / "b.zip")
    restore(shop, tmp_path / "b.zip")

    store = open_store(shop.store.url)
    with store.read() as connection:
        mark = mark_of(connection)
    store.close()
    assert mark is not None
    assert from_micros(mark.taken_at) == from_micros(shop.clock.now())
    assert [p.name for p in shop.store.files()["core"].parent.glob(".restore-*")] == []
