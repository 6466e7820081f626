"""What stands below every message by country, and what a marketer is warned of."""

from __future__ import annotations

from dataclasses import replace

from carillon.definition.model import MessageSource, SourceText
from carillon.kernel.channels import Channel
from carillon.messages.planned_parts import planned_parts
from tests.messages.shop import FOOTER, PLAIN, SETTING, batch, compiled, said, source

BY_COUNTRY = {"": "Acme & Co", "US": "Acme Inc, {{ brand.name }}", "FR": "Données : https://acme.example/cnil"}


def html(inside: str) -> str:
    return f"<html><head></head><body>{inside}</body></html>"


def sms(text: str) -> MessageSource:
    return MessageSource("sale", sms={"en": SourceText("sale.sms.txt", text)})


def test_a_footer_follows_the_contacts_country():
    """Everybody reads the footer of their country, escaped, in the design and in the plain part."""
    setting = replace(PLAIN, brand_name="<Acme>", footer=BY_COUNTRY)
    content = compiled(source(html("<p>Hi</p>")), setting)
    _, messages = batch(content, {"contact.country": "US"}, {"contact.country": "FR"}, {"contact.country": None})
    assert [m.text for m in messages[::2]] == ["Hi\nAcme Inc, <Acme>\n", "Hi\nAcme & Co\n"]
    assert "Acme Inc, &lt;Acme&gt;</div>" in messages[0].html
    assert "Acme &amp; Co</div>" in messages[2].html
    assert messages[1].text == "Hi\nDonnées : https://acme.example/cnil\n"


def test_a_design_may_say_where_the_footer_goes():
    """`{{ footer }}` takes its place, and it does not come twice; without a footer nothing stands there."""
    design = source(html("<p>{{ footer }}</p><p>Hi</p>"))
    _, [message] = batch(compiled(design, replace(PLAIN, footer={"": "Acme & Co"})), {})
    assert "<p>Acme &amp; Co</p><p>Hi</p>" in message.html
    assert message.html.count("Acme &amp; Co") == 1
    _, [message] = batch(compiled(design, PLAIN), {})
    assert "<p></p><p>Hi</p>" in message.html


def test_an_mjml_design_gets_the_footer_as_its_last_section():
    """The footer is laid out with the design, in a column of its own."""
    design = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>"
    _, [message] = batch(compiled(source(design, "mjml"), replace(PLAIN, footer={"": "Acme & Co"})), {})
    assert message.html.index("Hi") < message.html.index("Acme &amp; Co")
    assert "<mj-" not in message.html


def test_a_footer_can_carry_the_law_for_a_design_without_one():
    """Unsubscribe link and postal address count wherever they are seen."""
    assert [line.partition(" ")[2][:7] for line in said(source(html("<p>Hi</p>")), SETTING)] == ["MSG420 ", "MSG421 "]
    legal = "{{ brand.address }} {{ links.unsubscribe }}"
    assert said(source(html("<p>Hi</p>")), replace(SETTING, footer={"": legal})) == []


def test_an_sms_footer_counts_into_its_segments():
    """160 characters are one segment; the American footer makes a second one, and the plan counts it."""
    text = "x" * 150
    content = compiled(sms(text + "\n"), replace(PLAIN, footer={"US": "Reply STOP to end"}), Channel.SMS)
    _, [american, german] = batch(content, {"contact.country": "US"}, {"contact.country": "DE"})
    assert (american.text, german.text) == (text + "\nReply STOP to end", text + "\n")
    assert (planned_parts(content), planned_parts(content, ["US"])) == (1, 2)


def test_segments_are_planned_for_what_people_read():
    """Liquid's own letters are not counted, and a link counts as it is sent."""
    text = "{% if contact.first_name %}Hi {{ contact.first_name }}, {% endif %}see https://shop.example/" + "y" * 200
    assert planned_parts(compiled(sms(text), PLAIN, Channel.SMS)) == 1
    assert planned_parts(compiled(sms("{{ contact.first_name }} " + "ü" * 161), PLAIN, Channel.SMS)) == 2


def test_a_picture_without_words_is_named_at_its_place():
    """Pictures are blocked at first in half of all inboxes: `alt` must be written, if only to say that it is empty."""
    design = '<p><img src="https://a.example/a.png"></p>\n<!-- <img> --><img alt="" src="https://a.example/b.png">'
    assert said(source(html(design))) == ["sale.html:1:29 MSG433 <img> without alt"]


def test_a_subject_longer_than_an_inbox_shows():
    """Only the subject's own words count; 70 characters fit."""
    assert said(source(html("<p>Hi</p>"), subject="s" * 70 + "{{ contact.first_name | default: 'x' }}")) == []
    [line] = said(source(html("<p>Hi</p>"), subject="s" * 71))
    assert line.endswith("MSG432 the subject has 71 characters: an inbox cuts it off")


def test_a_mail_that_gmail_cuts_off():
    """102 kB of HTML are shown; the unsubscribe link behind them is not."""
    assert said(source(html(FOOTER + "<p>" + "ä" * 50_000 + "</p>"))) == []
    [line] = said(source(html(FOOTER + "<p>" + "ä" * 53_000 + "</p>")))
    assert line == "sale.html MSG431 the mail has 104 kB: Gmail cuts it off"
