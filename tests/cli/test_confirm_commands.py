"""The commands know the campaigns by which a topic asks: apply, preview, plan, import --enrol, consent show."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from carillon.cli.main import main
from carillon.kernel.clock import SystemClock, VirtualClock
from tests.advance.double_opt_in import CONFIRM, DESIGN, WITH_CONFIRM, WORDS
from tests.shop import WORKSPACE, Shop, instant

NOW = ("--now", "2026-11-02T12:00")


@pytest.fixture
def at_hand(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The commands find this shop; nothing was applied."""
    monkeypatch.chdir(shop.folder)
    for name in ("CARILLON_DATABASE_URL", "CARILLON_WORKSPACE", "CARILLON_ENV"):
        monkeypatch.delenv(name, raising=False)
    shop.clock = VirtualClock(instant("2026-11-02 12:00"))
    shop.write("workspace.yaml", WITH_CONFIRM)
    shop.write("messages/please_confirm.yaml", WORDS)
    shop.write("messages/please_confirm.html", DESIGN)
    shop.campaign("sale", "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}]\n")
    return shop


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_whichever_campaign_is_applied_the_topics_ask_from_then_on(at_hand: Shop) -> None:
    """And when `confirm` is taken out, the next apply ends what asked; nothing is left to be answered for."""
    result = call("apply", "sale", "--no-deploy", *NOW)
    assert (result.exit_code, result.stdout) == (0, f"sale: new\n{CONFIRM}: new\n")
    at_hand.write("workspace.yaml", WORKSPACE)
    at_hand.contact("ada", consent=("club/email",))
    result = call("apply", "sale", "--no-deploy", *NOW)
    assert (result.exit_code, result.stdout) == (0, f"sale: unchanged\n{CONFIRM}: ended\n")
    assert call("apply", "sale", "--no-deploy", *NOW).stdout == "sale: unchanged\n"
    at_hand.run(CONFIRM, "2026-11-02 12:30")
    assert at_hand.inbox == []
    at_hand.write("workspace.yaml", WITH_CONFIRM)
    assert call("apply", "sale", "--no-deploy", *NOW).stdout == f"sale: unchanged\n{CONFIRM}: unchanged\n"


def test_who_was_decided_before_confirm_was_taken_out_still_gets_the_message(at_hand: Shop) -> None:
    """An ended campaign serves those under way, also when the house rules no longer speak of asking."""
    call("apply", "sale", "--no-deploy", *NOW)
    at_hand.at("2026-11-02 12:10")
    at_hand.contact("ada", consent=("club/email",))
    at_hand.mail.max_people = 1
    at_hand.run(CONFIRM, connectors=dict)
    at_hand.write("workspace.yaml", WORKSPACE)
    call("apply", "sale", "--no-deploy", *NOW)
    at_hand.run(CONFIRM, "2026-11-02 12:20")
    assert at_hand.inbox == ["ada"]


def test_preview_shows_the_link(at_hand: Shop) -> None:
    result = call("preview", CONFIRM, "--json", *NOW)
    (row, *_) = json.loads(result.stdout)
    assert (row["step_id"], row["language"]) == ("email.please_confirm", "en")
    assert "(https://t.acme.example/y/" in row["shown"][0]["text"]


def test_plan_refuses_a_message_that_hides_the_link_in_one_language(at_hand: Shop) -> None:
    """`check` finds it somewhere; a translation of its own that has none is found when it is compiled."""
    at_hand.write("messages/please_confirm.de.yaml", "subject: Sind Sie es?\ntexts: {headline: Noch ein Klick}\n")
    at_hand.write("messages/please_confirm.de.html", "<p>{{ t.headline }}</p>")
    result = call("plan", CONFIRM, *NOW)
    assert result.exit_code == 1
    assert "second yes without a visible link in de" in result.output


def test_no_other_message_knows_the_link(at_hand: Shop) -> None:
    at_hand.write("sale/messages/sale.html", DESIGN + '{{ brand.address }} <a href="{{ links.unsubscribe }}">Leave</a>')
    result = call("plan", "sale", *NOW)
    assert (result.exit_code, 'nothing is called "links.confirm"' in result.output) == (1, True)


def test_an_imported_past_asks_nobody_and_with_enrol_it_says_how_many_first(at_hand: Shop, tmp_path: Path) -> None:
    """The file's yes is pending either way, and `consent show` says so."""
    call("apply", "sale", "--no-deploy")
    at_hand.clock = VirtualClock(SystemClock().now())
    at_hand.contact("ada", consent=())
    file = tmp_path / "consents.csv"
    file.write_text(
        f"contact,topic,channel,state,at,evidence\nada,club,email,yes,{datetime.now(UTC).isoformat()},fair\n"
    )
    asked = call("import", "consents", str(file), "--enrol")
    assert (asked.exit_code, f"{CONFIRM}" in asked.stderr) == (1, True)
    assert call("import", "consents", str(file)).exit_code == 0
    at_hand.run(CONFIRM, SystemClock().now())
    assert at_hand.inbox == []
    shown = json.loads(call("consent", "show", "ada", "--json").stdout)
    assert shown["pending"] == [["club", "email"]]
    assert "Pending: club by email wants a second yes, which has not come." in call("consent", "show", "ada").stdout
