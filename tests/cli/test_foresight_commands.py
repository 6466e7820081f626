"""`preview`, `proof` and `calendar` as they are typed: what they print, write and answer with, and that they count nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from icalendar import Calendar

from carillon.cli.main import main
from carillon.sandbox.server import make_world
from carillon.store import tables as t
from tests.shop import Shop

SALE = """\
title: Winter sale
audience: everyone
entry: {at: 2026-12-01 09:00}
journey: [{email: sale, test: {variants: [plain, bold]}}, {sms: last}]
"""
WEEKLY = "title: Letter\naudience: everyone\nentry: {every: thursday, at: 09:00}\njourney: [{email: letter}]\n"
PROOFS = "proofs: {email: [crm@acme.example]}\n"
NOW = ("--now", "2026-11-30T09:00")


@pytest.fixture
def at_hand(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The commands find this shop, with Ada in it and a sale that was not applied."""
    monkeypatch.chdir(shop.folder)
    for name in ("CARILLON_DATABASE_URL", "CARILLON_WORKSPACE", "CARILLON_ENV"):
        monkeypatch.delenv(name, raising=False)
    shop.workspace(PROOFS)
    shop.campaign("sale", SALE)
    shop.contact("ada", first_name="Ada", phone="+447700900001")
    return shop


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def told(shop: Shop) -> list[int]:
    return [shop.count(table) for table in (t.send, t.batch, t.enrolment, t.spent, t.campaign)]


def test_preview_prints_the_first_of_each_message_and_all_with_all(at_hand: Shop) -> None:
    result = call("preview", "sale", *NOW)
    assert (result.exit_code, [line for line in result.output.splitlines() if line.startswith("──")]) == (
        0, ["── email.sale · plain · en · email from Acme", "── sms.last · en · sms from Acme"],
    )  # fmt: skip
    rows = json.loads(call("preview", "sale", "--all", "--json", *NOW).stdout)
    assert [(row["step_id"], row["arm"]) for row in rows] == [
        ("email.sale", "plain"), ("email.sale", "bold"), ("sms.last", ""),
    ]  # fmt: skip
    assert told(at_hand) == [0] * 5


def test_preview_writes_a_gallery_of_everything(at_hand: Shop, tmp_path: Path) -> None:
    page = tmp_path / "preview.html"
    result = call("preview", "sale", "--html", str(page), "--contact", "ada", *NOW)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"wrote {page}: 3 messages" in result.stderr
    text = page.read_text()
    assert ("Winter sale" in text, "sale plain" in text, "sale bold" in text, "with the values of ada" in text) == (
        True,
    ) * 4


@pytest.mark.parametrize("command", ["preview", "proof"])
def test_what_is_not_there_is_a_sentence(at_hand: Shop, command: str) -> None:
    """A campaign of no file with the nearest one, a contact that nobody knows."""
    result = call(command, "sail", *NOW)
    assert (result.exit_code, "sale" in result.stderr, "Traceback" in result.stderr) == (1, True, False)
    result = call(command, "sale", "--contact", "bob", *NOW)
    assert (result.exit_code, "bob" in result.stderr) == (1, True)


def test_proof_goes_to_the_workspaces_addresses_by_the_provider_and_is_counted_nowhere(at_hand: Shop) -> None:
    """The sandbox gets each variant once, marked in its subject; the text has no address to go to."""
    result = call("proof", "sale", "--json", *NOW)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [(row["to"], row["outcome"]) for row in rows] == [("crm@acme.example", "sent")] * 2
    world = make_world(at_hand.folder / ".carillon" / "sandbox")
    kept = [row["subject"] for row in world.store.rows("SELECT subject FROM request")]
    assert sorted(kept) == ["[Proof email.sale · bold · en] sale bold", "[Proof email.sale · plain · en] sale plain"]
    assert told(at_hand) == [0] * 5


def test_a_dry_run_of_a_proof_sends_nothing(at_hand: Shop) -> None:
    result = call("proof", "sale", "--dry-run", "--to", "boss@acme.example", "--to", "+447700900009", *NOW)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            "email.sale · plain · en → boss@acme.example: sale plain",
            "email.sale · bold · en → boss@acme.example: sale bold",
            "sms.last · en → +447700900009: last: STOP ends this",
        ],
    )
    assert not (at_hand.folder / ".carillon" / "sandbox").exists()


def test_proof_without_an_address_says_where_to_write_one(at_hand: Shop) -> None:
    at_hand.workspace("")
    result = call("proof", "sale", *NOW)
    assert (result.exit_code, "nobody to send to" in result.stderr, "proofs:" in result.stderr) == (1, True, True)


def test_calendar_prints_and_writes_what_is_applied(at_hand: Shop, tmp_path: Path) -> None:
    """The sale once, the letter each Thursday; the file is read by a calendar program, the page by people."""
    at_hand.campaign("letter", WEEKLY)
    applied = call("apply", "sale", "letter", "--no-deploy", *NOW)
    assert applied.exit_code == 0, applied.output
    rows = json.loads(call("calendar", "--weeks", "2", "--json", *NOW).stdout)["planned"]
    assert [(row["campaign"], row["people"]) for row in rows] == [("sale", 1), ("letter", 1), ("letter", 1)]
    shown = call("calendar", "--weeks", "2", *NOW).output
    assert "Tue 01 Dec 2026\n  09:00  sale: about 1 person" in shown
    diary, page = tmp_path / "carillon.ics", tmp_path / "carillon.html"
    result = call("calendar", "--weeks", "2", "--ics", str(diary), "--html", str(page), *NOW)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"wrote {diary}\nwrote {page}\n")
    assert len(Calendar.from_ical(diary.read_bytes()).walk("VEVENT")) == 3
    assert page.read_text().count("Letter") == 2


def test_a_calendar_of_nothing_says_so(at_hand: Shop) -> None:
    """Before the first apply what to do is said; more weeks than half a year are wrong use."""
    result = call("calendar", *NOW)
    assert (result.exit_code, "apply" in result.output + result.stderr) == (1, True)
    assert call("calendar", "--weeks", "40").exit_code == 2


@pytest.mark.parametrize(
    ("yaml", "comes"),
    [
        (SALE, "its next run is on Tue 01 Dec 2026 09:00 CET"),
        ("audience: everyone\nentry: {at: 2026-11-01 09:00}\njourney: [{email: hi}]\n", "nobody is due any more"),
        ("audience: everyone\nentry: {api: true}\njourney: [{email: hi}]\n", "it runs when something happens"),
    ],
)
def test_plan_of_what_is_applied_and_unchanged_says_what_comes_next(at_hand: Shop, yaml: str, comes: str) -> None:
    """Nothing is left to apply; after an edit, of the words too, there is."""
    at_hand.campaign("sale", yaml)
    assert call("plan", "sale", *NOW).output.rstrip().endswith("carillon apply sale")
    assert call("apply", "sale", "--no-deploy", *NOW).exit_code == 0
    assert call("plan", "sale", *NOW).output.rstrip().endswith(f"applied and unchanged; {comes}")
    assert json.loads(call("plan", "sale", "--json", *NOW).stdout)[0]["unchanged"] is True
    call("pause", "sale")
    assert call("plan", "sale", *NOW).output.rstrip().endswith("it is paused: carillon resume sale")
    for design in (at_hand.campaigns / "sale/messages").glob("*.html"):
        design.write_text(design.read_text().replace("Look", "See"))
    assert call("plan", "sale", *NOW).output.rstrip().endswith("carillon apply sale")
