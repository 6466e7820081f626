"""The design's example workspace is read whole, and the shipped one has nothing to complain about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from carillon.definition.confirming import is_confirmation
from carillon.definition.load import Loaded, load_workspace
from carillon.definition.model import Choose, Send, Split, walk
from carillon.kernel.channels import OURS

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT.parent / "shared" / "design" / "examples"


@pytest.fixture(scope="module")
def examples() -> Loaded:
    if not EXAMPLES.is_dir():
        pytest.skip(f"the design's examples are not at {EXAMPLES}")
    return load_workspace(EXAMPLES)


def test_every_word_of_the_examples_is_read(examples: Loaded) -> None:
    """Only missing message files, the missing codes and words without an engine are named; all 14 campaigns are there."""
    assert {problem.code for problem in examples.problems} == {"CAR204", "LATER", "WSP104"}
    incomplete = [p.message for p in examples.problems if p.code == "CAR204" and "missing" not in p.message]
    assert incomplete == ['no webhook "open_service_case"']  # the design names no address for it
    assert len([name for name in examples.campaigns if not is_confirmation(name)]) == 14
    assert [name for name in examples.campaigns if is_confirmation(name)] == ["confirm-offers-email"]


def test_every_missing_message_of_the_examples_is_named(examples: Loaded) -> None:
    """Each message that an e-mail or SMS step sends is named unless its files are there: only the seasonal sale's are."""
    named = {
        (p.position.file.split("/")[1], p.message.split('"')[1], p.message.count("sms.txt"))
        for p in examples.problems
        if p.code == "CAR204" and p.message.startswith(("no message", "the message"))
    }
    written = {
        (path.parent.name, message, int(channel == "sms"))
        for path in EXAMPLES.glob("*/campaign.yaml")
        for channel, message in re.findall(r"\b(email|sms): (\w+)", path.read_text(encoding="utf-8"))
    }
    assert written - named == {("seasonal_sale", "sale", 0)}
    assert named - written == set()


def test_the_words_without_an_engine_are_those_of_later_issues(examples: Loaded) -> None:
    """The list shrinks with each issue; what is left at the end is the last issue's."""
    words = {p.message.split('"')[1] for p in examples.problems if p.code == "LATER"}
    assert words == {
        "churn_risk", "lifecycle", "loyalty", "next_order",
        "points", "points.next_expiry", "points.redeemed", "predicted_value", "product", "push", "referral.completed",
        "rfm", "score", "scores", "survey.answered", "surveys",
    }  # fmt: skip


def test_the_seasonal_sale_is_read_as_written(examples: Loaded) -> None:
    """Its message has four languages and the words of three variants."""
    sale = examples.messages["seasonal_sale"]["sale"]
    assert list(sale.words) == ["fr", "it", "nb", "de"]
    assert (
        sale.words["nb"].variants["personal"].subject
        == "{{ contact.first_name | default: 'Hei' }}, salget ditt starter"
    )
    assert list(sale.mjml) == ["de"]
    assert [step.id for step in walk(examples.campaigns["seasonal_sale"].journey)] == [
        "email.sale", "wait.email.sale", "choose.email.sale", "exit.interested", "sms.last_days", "exit.never_received",
    ]  # fmt: skip


def test_the_shipped_campaigns_are_clean() -> None:
    """No error, no warning; campaigns in two languages that show test, split, wait and choose, each with its line in the README."""
    shipped = load_workspace(ROOT / "campaigns")
    assert shipped.problems == []
    told = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    assert sorted(told) == sorted(name for name in shipped.campaigns if not is_confirmation(name))
    assert [name for name in shipped.campaigns if is_confirmation(name)] == ["confirm-club-email"]
    for campaign in shipped.campaigns.values():
        for step in walk(campaign.journey):
            if isinstance(step, Send) and step.channel not in OURS:  # one of ours reads one language
                source = shipped.messages[campaign.name][step.message]
                assert {"en", "de"} <= set(source.sms if step.channel == "sms" else source.words)
    steps = [step for campaign in shipped.campaigns.values() for step in walk(campaign.journey)]
    assert any(isinstance(step, Choose) for step in steps)
    assert any(isinstance(step, Split) for step in steps)
    assert any(isinstance(step, Send) and step.test is not None for step in steps)
