"""A small shop whose messages are compiled in tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from carillon.definition.model import MessageSource, MessageWords, SourceText
from carillon.kernel.channels import Channel
from carillon.kernel.problems import Problem
from carillon.kernel.tokens import Keyring
from carillon.messages.columns import Columns
from carillon.messages.compiling import Setting, compile_content
from carillon.messages.content import Content
from carillon.messages.rendering import Message, Occasion, Rendered, fill, render

RING = Keyring((b"k" * 32,))
FOOTER = '<p>{{ brand.address }} <a href="{{ links.unsubscribe }}">leave</a></p>'
SETTING = Setting(
    "en", "https://t.shop", brand_name="Acme", brand_address="Acme, 1 Main St", utm={"utm_campaign": "spring"}
)
PLAIN = replace(SETTING, is_marketing=False, utm={})


def source(design: str = "", kind: str = "html", **words: Any) -> MessageSource:
    """A message "sale" with one design in English."""
    files = {kind: {"en": SourceText(f"sale.{kind}", design)}} if design else {}
    given = MessageWords(**{"subject": "Hello", **words}, path="sale.yaml")
    return MessageSource("sale", words={"en": given}, **files)


def compiled(
    message: MessageSource, setting: Setting = PLAIN, channel: Channel = Channel.EMAIL, arm: str = ""
) -> Content:
    """The content of a message that has no error."""
    result = compile_content(message, channel, "en", arm, setting)
    assert result.content is not None, result.problems
    return result.content


def problems(message: MessageSource, setting: Setting = PLAIN, channel: Channel = Channel.EMAIL) -> list[Problem]:
    """What is wrong with a message."""
    return list(compile_content(message, channel, "en", "", setting).problems)


def said(message: MessageSource, setting: Setting = PLAIN, channel: Channel = Channel.EMAIL) -> list[str]:
    """What is wrong with a message, as place, code and sentence."""
    return [f"{p.position} {p.code} {p.message}" for p in problems(message, setting, channel)]


def people(*rows: dict[str, Any], content: Content) -> Columns:
    """Columns from rows; what a row does not say is missing."""
    return Columns(len(rows), {path: [row.get(path) for row in rows] for path in content.paths})


def batch(content: Content, *rows: dict[str, Any]) -> tuple[Rendered, list[Message]]:
    """A batch rendered by columns, and what each person then reads."""
    out = render(content, people(*rows, content=content), Occasion(RING, 7, range(1, len(rows) + 1)))
    filled = [[fill(part, out.values, row) for part in (out.subject, out.html, out.text)] for row in range(len(rows))]
    return out, [Message(*parts) for parts in filled]


def inner(html: str) -> str:
    """What stands in the body, without the pixel."""
    return html.partition("<body>")[2].partition('<img src="https://t.shop/o/')[0]
