"""Compiling a message: what reaches the mail, exactly, and what a marketer is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.definition.model import MessageSource, MessageWords, SourceText
from carillon.kernel.channels import Channel
from carillon.messages.compiling import compile_content
from carillon.messages.content import Link, content_from_json
from tests.messages.shop import FOOTER, PLAIN, SETTING, batch, compiled, inner, problems, said, source


def body(html: str) -> str:
    """An HTML design."""
    return f"<html><head></head><body>{html}</body></html>"


def mjml(inside: str, head: str = "") -> str:
    """An MJML design with one column."""
    return f"<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column>{inside}</mj-column></mj-section></mj-body></mjml>"


# ---------------------------------------------------------------- what reaches the mail


@pytest.mark.parametrize(
    ("name", "html", "subject"),
    [
        (
            '<script>alert("x")</script>',
            "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;",
            '<script>alert("x")</script>',
        ),
        ('O\'Neill & "Co"', "O&#39;Neill &amp; &#34;Co&#34;", 'O\'Neill & "Co"'),
        ("{{ contact.email }}", "{{ contact.email }}", "{{ contact.email }}"),
        ("{% skip 'x' %}", "{% skip &#39;x&#39; %}", "{% skip 'x' %}"),
        ("👩‍👩‍👧 Zoë", "👩‍👩‍👧 Zoë", "👩‍👩‍👧 Zoë"),
        ("مرحبا ‏‎א", "مرحبا ‏‎א", "مرحبا ‏‎א"),
        ("Ada\r\nBcc: x@y.z", "Ada\r\nBcc: x@y.z", "Ada  Bcc: x@y.z"),
    ],
)
def test_a_name_is_only_ever_a_name(name, html, subject):
    """Markup, Liquid and line breaks in a name are text: escaped in HTML, plain in the plain part, one line in the subject."""
    content = compiled(
        source(body('<p title="{{ contact.name }}">{{ contact.name }}</p>'), subject="Hi {{ contact.name }}")
    )
    _, [message] = batch(content, {"contact.name": name})
    assert inner(message.html) == f'<p title="{html}">{html}</p>'
    assert (message.subject, message.text) == (f"Hi {subject}", f"{name}\n")


def test_a_loop_between_table_rows_stays_between_them():
    """An HTML parser alone would move it in front of the table; no item leaves an empty table."""
    design = body(
        "<table>{% for p in trigger.products %}<tr><td>{{ p.name }}</td><td>{{ p.price | money }}</td></tr>{% endfor %}</table>"
    )
    content = compiled(source(design))
    products = [{"name": "Tea & more", "price": 3.5}, {"name": "Cup", "price": "1234"}]
    _, [two, none] = batch(content, {"trigger.products": products}, {"trigger.products": []})
    assert inner(two.html) == (
        "<table><tbody><tr><td>Tea &amp; more</td><td>€3.50</td></tr><tr><td>Cup</td><td>€1,234.00</td></tr></tbody></table>"
    )
    assert inner(none.html) == "<table><tbody></tbody></table>"
    assert (two.text, none.text) == ("Tea & more €3.50\nCup €1,234.00\n\n", "\n")


def test_a_comparison_inside_mjml_and_styles_that_are_inlined():
    """MJML alone refuses `<`; the condition goes round a whole text block."""
    head = "<mj-style>.big { color: {{ t.ink }}; }</mj-style>"
    design = mjml(
        '{% if contact.orders < 3 and contact.name != "A > B" %}<mj-text><p class="big">New</p></mj-text>{% endif %}',
        head,
    )
    content = compiled(source(design, "mjml", texts={"ink": "#123456"}))
    _, [new, old] = batch(
        content, {"contact.orders": 1, "contact.name": "x"}, {"contact.orders": 3, "contact.name": "x"}
    )
    assert ('<p class="big" style="display: block;margin: 13px 0;color: #123456;">New</p>' in new.html) is True
    assert ("New" in old.html, new.text, old.text) == (False, "New\n\n", "\n")
    assert "fonts.googleapis" not in new.html


def test_outlooks_conditional_comments_keep_their_liquid_and_their_links():
    """A bulletproof button says everything twice; both lead to the same slot."""
    button = (
        '<!--[if mso]><v:roundrect href="https://shop.x/a?b=1&amp;c=2">{{ contact.name }}</v:roundrect><![endif]-->'
    )
    design = body(button + '<a href="https://shop.x/a?b=1&c=2">{{ contact.name }}</a>')
    content = compiled(source(design), replace(PLAIN, utm={"utm_campaign": "spring sale", "utm_content": ""}))
    _, [message] = batch(content, {"contact.name": "A<"})
    token = message.html.partition("/c/")[2][:28]
    assert inner(message.html) == (
        f'<!--[if mso]><v:roundrect href="https://t.shop/c/{token}/0">A&lt;</v:roundrect><![endif]-->'
        f'<a href="https://t.shop/c/{token}/0">A&lt;</a>'
    )
    assert content.links == (Link("https://shop.x/a?b=1&c=2&utm_campaign=spring%20sale"),)


def test_a_style_with_a_condition_in_it_wins_over_the_style_sheet():
    """The CSS parser would stop at it, so it is put aside meanwhile."""
    design = '<html><head><style>p { color: blue; margin: 0 }</style></head><body><p style="{% if contact.vip %}color: gold;{% endif %}">x</p></body></html>'
    _, [vip, other] = batch(compiled(source(design)), {"contact.vip": True}, {"contact.vip": False})
    assert inner(vip.html) == '<p style="color: blue;margin: 0; color: gold;">x</p>'
    assert inner(other.html) == '<p style="color: blue;margin: 0; ">x</p>'


def test_an_attribute_may_be_conditional_and_braces_may_be_meant():
    """`{% raw %}` and entities print braces; nothing that looks like Liquid becomes Liquid on the way."""
    design = body('<p {% if contact.vip %}class="v"{% endif %}>&#123;&#123; x }} {% raw %}{{ y }}{% endraw %}</p>')
    _, [vip, other] = batch(compiled(source(design)), {"contact.vip": True}, {})
    assert inner(vip.html) == '<p class="v">{{ x }} {{ y }}</p>'
    assert inner(other.html) == "<p >{{ x }} {{ y }}</p>"


def test_what_is_not_tracked_is_left_alone():
    """mailto, tel, anchors and our own unsubscribe links are no slots."""
    kept = '<a href="mailto:a@b.c?subject={{ contact.name }}">m</a><a href="tel:+49">t</a><a href="#top">o</a>'
    content = compiled(source(body(kept + FOOTER)), SETTING)
    out, [message] = batch(content, {"contact.name": "x"})
    leave = out.headers["List-Unsubscribe"][0].strip("<>")
    assert inner(message.html) == (
        '<a href="mailto:a@b.c?subject=x">m</a><a href="tel:+49">t</a><a href="#top">o</a>'
        f'<p>Acme, 1 Main St <a href="{leave}">leave</a></p>'
    )
    assert content.links == ()
    assert out.shared_headers == {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def test_a_preheader_stands_hidden_before_everything_and_the_pixel_last():
    """Mail clients show the first words; a client that loads images tells us of one opening."""
    content = compiled(source(body("<p>x</p>"), preheader="Only {{ contact.name }} & you"))
    _, [message] = batch(content, {"contact.name": "<b>"})
    shown = message.html.partition("<body>")[2]
    assert shown.startswith('<div style="display:none;')
    assert ">Only &lt;b&gt; &amp; you</div><p>x</p><img src=" in shown
    assert shown.endswith('" width="1" height="1" alt="" style="display:block;border:0"></body></html>')
    assert message.text == "x\n"


def test_the_words_of_a_variant_and_a_language_take_the_place_of_the_others():
    """One design for all; texts may hold Liquid, and are escaped in HTML only."""
    words = {
        "en": MessageWords(
            "Hello", texts={"h": "Tea & {{ contact.name }}"}, variants={"short": MessageWords("Hi")}, path="sale.yaml"
        ),
        "fr": MessageWords("Bonjour", texts={"h": "L'heure du thé, {{ contact.name }}"}, path="sale.fr.yaml"),
    }
    message = MessageSource("sale", words=words, html={"en": SourceText("sale.html", body("<p>{{ t.h }}</p>"))})
    found = []
    for language, arm in (("en", ""), ("en", "short"), ("fr", "short")):
        content = compile_content(message, Channel.EMAIL, language, arm, PLAIN).content
        assert content is not None
        _, [mail] = batch(content, {"contact.name": "O'N"})
        found.append((mail.subject, inner(mail.html), mail.text))
    assert found == [
        ("Hello", "<p>Tea &amp; O&#39;N</p>", "Tea & O'N\n"),
        ("Hi", "<p>Tea &amp; O&#39;N</p>", "Tea & O'N\n"),
        ("Bonjour", "<p>L'heure du thé, O&#39;N</p>", "L'heure du thé, O'N\n"),
    ]


def test_layouts_and_blocks_come_from_shared():
    """A layout goes round a message; blocks go in, in HTML, MJML and text."""
    shared = {
        "main.mjml": SourceText("shared/main.mjml", mjml('{% content %}<mj-include path="./foot.mjml"/>')),
        "foot.mjml": SourceText("shared/foot.mjml", '<mj-text>{% include "sign.txt" %}</mj-text>'),
        "sign.txt": SourceText("shared/sign.txt", "Yours, {{ brand.name }}"),
    }
    content = compiled(source('{% layout "main" %}<mj-text>Body</mj-text>', "mjml"), replace(PLAIN, shared=shared))
    assert batch(content, {})[1][0].text == "Body\n\nYours, Acme\n".replace("\n\n", "\n")


def test_a_text_file_is_taken_as_it_is_with_its_links_tracked():
    """A full stop behind an address is not part of it."""
    text = "Hi {{ contact.name }}: https://shop.x/sale. Or https://shop.x/p/{{ contact.id }}!\n"
    content = compiled(MessageSource("sale", {"en": MessageWords("s")}, txt={"en": SourceText("sale.txt", text)}))
    _, [message] = batch(content, {"contact.name": "A&B", "contact.id": "x y"})
    assert message.html == ""
    first, second = message.text.split(" Or ")
    assert first.startswith("Hi A&B: https://t.shop/c/")
    assert first.endswith("/0.")
    assert "/1?to=" in second
    assert second.endswith("!\n")
    assert content.links == (Link("https://shop.x/sale"), Link("https://shop.x/p/{{ contact.id }}", carried=True))


def test_an_sms_is_its_text_with_short_links():
    """No pixel, no header; the file's last line break is not sent."""
    message = MessageSource(
        "sale", sms={"en": SourceText("sale.sms.txt", "{{ contact.name }}: https://shop.x/very/long?x=1\n")}
    )
    content = compiled(message, channel=Channel.SMS)
    out, [sms] = batch(content, {"contact.name": "A<B"})
    assert (sms.text[:23], len(sms.text), sms.html, sms.subject) == ("A<B: https://t.shop/s/F", 52, "", "")
    assert (out.headers, out.shared_headers, content.links) == ({}, {}, (Link("https://shop.x/very/long?x=1"),))


def test_a_content_is_the_same_row_after_it_was_stored():
    """Its hash is over all that is sent, and nothing else."""
    content = compiled(source(body("<p>{{ contact.name }}</p>" + FOOTER), texts={"h": "ü"}), SETTING)
    again = content_from_json(content.to_json())
    assert (again, again.hash, again.links_json()) == (content, content.hash, content.links_json())
    other = compiled(source(body("<p>{{ contact.name }}</p>" + FOOTER), texts={"h": "u"}), SETTING)
    assert other.hash != content.hash
    with pytest.raises(ValueError, match="another version"):
        content_from_json(content.to_json().replace('"format":1', '"format":0'))


# ---------------------------------------------------------------- what is said


def test_what_a_message_names_and_what_lacks_a_default():
    """A default, or an `if` that asks, answers; a loop's fields are asked of every item."""
    design = body(
        "{{ contact.a }}{{ contact.b | default: 'x' }}{% if contact.c %}{{ contact.c | upcase }}{% endif %}"
        "{% for p in trigger.products %}{{ p.name }}{{ p.price | default: 0 }}{% endfor %}{% assign z = contact.d %}{{ z }}"
    )
    content = compiled(source(design))
    assert content.paths == ("contact.a", "contact.b", "contact.c", "contact.d", "trigger.products")
    assert content.required_paths == ("contact.a", "trigger.products", "trigger.products[].name", "contact.d")


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        ("<p>\n{{ contact.name | upcas }}</p>", 'sale.html:2:19 MSG402 Liquid: no filter "upcas"'),
        ("<p>\n\n {% if contact.a %}x</p>", "sale.html:3:2 MSG402 {% if %} is never closed in this file"),
        ("<p>{% endif %}</p>", "sale.html:1:4 MSG402 {% endif %} closes nothing"),
        ("<p>\n{{ kontact.name }}</p>", 'sale.html:2:4 MSG403 nothing is called "kontact"'),
        ("<p>{{ contact }}</p>", 'sale.html:1:7 MSG403 "contact" alone is no text'),
        ("<p>{{ t.button }}</p>", 'sale.html:1:4 MSG407 no text "button"'),
        ('<p>{% include "foot" %}</p>', 'sale.html:1:4 MSG405 no file "foot" in shared/'),
        (
            "{% for i in (1..100000000) %}x{% endfor %}",
            "sale.html:1:13 MSG404 a range needs two numbers, at most 1,000 apart",
        ),
        ('<p><a\nhref="/sale">x</a></p>', 'sale.html:2:7 MSG409 the link "/sale" is no full address'),
        ("<style>{% if contact.a %}p{}{% endif %}</style><p>x</p>", None),
    ],
)
def test_what_is_wrong_is_said_at_its_place(design, sentence):
    """File, line and column are the marketer's own, whatever MJML and CSS made of the design."""
    found = said(source(design))
    if sentence is None:
        assert any("MSG408 a Liquid tag inside a style sheet cannot be inlined" in line for line in found)
    else:
        assert sentence in found


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        (mjml('\n<mj-text colour="red">x</mj-text>'), "sale.mjml:2:10 MSG411 <mj-text> has no attribute colour"),
        (mjml("\n<mj-txt>x</mj-txt>"), "sale.mjml:2:2 MSG411 MJML has no tag <mj-txt>"),
        ("<mjml><mj-body>\n<mj-section></mj-body></mjml>", "sale.mjml:2:15 MSG412 </mj-body> closes nothing here"),
        (
            mjml("<mj-text>a & b < c</mj-text>"),
            "sale.mjml MSG413 the design cannot be read: unable to parse next template in root template",
        ),
        (mjml('<mj-text {{ contact.a }}="x">y</mj-text>'), None),
    ],
)
def test_mjml_that_the_engine_would_swallow_is_named(design, sentence):
    """The engine passes unknown words into the mail and gives its own errors no place."""
    found = said(source(design, "mjml"))
    if sentence is None:
        assert any("MSG408 Liquid between the attributes of an MJML tag" in line for line in found)
    else:
        assert sentence in found


def test_words_that_nearly_fit_are_suggested():
    """With a vocabulary, a misspelt field is an error with the nearest word."""
    setting = replace(PLAIN, known={"contact": ("first_name", "city"), "trigger": ("products",)})
    found = problems(source(body("{{ contact.frist_name }}")), setting)
    assert {(p.code, p.message, p.suggestion) for p in found} == {
        ("MSG403", 'nothing is called "contact.frist_name"', 'did you mean "contact.first_name"?')
    }


def test_marketing_mail_needs_a_way_out_and_an_address():
    """A mail that only serves is free of both; what is hidden does not count."""
    hidden = '<div style="display:none"><a href="{{ links.unsubscribe }}">x</a></div>'
    codes = [{p.code for p in problems(source(body(html)), SETTING)} for html in ("<p>x</p>", hidden, FOOTER)]
    assert codes == [{"MSG420", "MSG421"}, {"MSG420", "MSG421"}, set()]
    text = {"en": SourceText("sale.txt", "{{ links.unsubscribe }} Acme, 1 Main St")}
    only_in_text = replace(source(body("<p>{{ brand.address }}</p>")), txt=text)
    assert {p.code for p in problems(only_in_text, SETTING)} == {"MSG420"}
    assert said(replace(MessageSource("sale", source().words), txt=text), SETTING) == []
    assert said(source(body("<p>x</p>")), replace(SETTING, is_marketing=False)) == []
    assert said(source(body("<p>Acme,  1 Main\nSt <a href='{{ links.preferences }}'>x</a></p>")), SETTING) == []


def test_what_is_missing_altogether_is_named():
    """No subject, no design, no SMS, a circle of blocks."""
    assert said(MessageSource("sale")) == [
        'sale MSG401 message "sale" has no subject in en',
        'sale MSG401 no design for the e-mail "sale"',
    ]
    assert said(MessageSource("sale"), channel=Channel.SMS) == ['sale MSG401 no SMS of the message "sale" in en']
    ring = {"a.html": SourceText("shared/a.html", '{% include "a.html" %}')}
    assert said(source('<p>{% include "a.html" %}</p>'), replace(PLAIN, shared=ring)) == [
        "shared/a.html:1:1 MSG405 sale.html → shared/a.html → shared/a.html goes round in a circle"
    ]


def test_a_personal_link_in_an_sms_is_sent_as_it_is_with_a_warning():
    """It cannot be shortened without being stored; the marketer is told."""
    message = MessageSource("sale", sms={"en": SourceText("sale.sms.txt", "Go https://shop.x/{{ contact.id }}")})
    assert [(p.code, p.severity) for p in problems(message, channel=Channel.SMS)] == [("MSG410", "warning")]
    assert batch(compiled(message, channel=Channel.SMS), {"contact.id": "7"})[1][0].text == "Go https://shop.x/7"


BITS = [
    "<p>", "</p>", "<table>", "<tr>", "<td>", "</table>", "{% if contact.a %}", "{% endif %}", "{{ contact.a }}", "{% for p in contact.l %}",
    "{% endfor %}", '<a href="{{ contact.u }}">', '<a href="https://x.y/{{ contact.a }}">', "</a>", "<!--[if mso]>", "<![endif]-->", '"', "<style>",
    "</style>", '<div style="{{ contact.a }}">', "{{", "}}", "{%", "%}", "{% raw %}", "{% endraw %}", "{% comment %}", "&", "<", "<title>", "</title>",
    '<img alt="{{ contact.a }}">', "{% include 'x' %}", '{% layout "x" %}', "{% content %}", "{% skip %}", "{% carried 9 %}", "{% endcarried %}",
    "{% assign %}", "{% case contact.a %}{% when 1 %}", "{% endcase %}", "\x00",
]  # fmt: skip


@given(st.lists(st.sampled_from(BITS), max_size=8).map("".join), st.sampled_from(["html", "mjml"]))
@settings(max_examples=50, deadline=None)
def test_whatever_a_marketer_writes_is_a_content_or_a_problem(design, kind):
    """Broken tags in any order never raise; and what compiles can be rendered."""
    written = mjml(f"<mj-text>{design}</mj-text>") if kind == "mjml" else design
    result = compile_content(source(written or " ", kind), Channel.EMAIL, "en", "", PLAIN)
    if result.content is None:
        assert result.problems
    else:
        out, _ = batch(result.content, {"contact.a": "x", "contact.l": [1], "contact.u": "https://a.x"})
        assert out.failed == {}
