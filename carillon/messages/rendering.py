"""Render a compiled message for a batch: what all share once, what differs as columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import Any

from carillon.kernel.channels import Channel
from carillon.kernel.spelling import SPELLINGS, Spell, Spelling
from carillon.kernel.tokens import Keyring, TokenKind
from carillon.messages.cells import Cell, TupleCell
from carillon.messages.columns import Columns
from carillon.messages.content import TAGGED, Content, token_tag
from carillon.messages.cutting import Cutter, rendered
from carillon.messages.links import carrier
from carillon.messages.liquid import CARRY, NOW, Dialect, html_dialect, parse, plain_dialect
from carillon.messages.strung import Refusal, Text

_LINE_BREAKS = {ord(c): " " for c in "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"}


def _in_one_line(text: str) -> str:
    return text if text.isprintable() else text.translate(_LINE_BREAKS)


@dataclass(frozen=True, slots=True)
class Occasion:
    """For whom and when a batch is rendered: what tokens are made from, and what `now` means."""

    keyring: Keyring
    node: int
    enrolments: Sequence[int]
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """The batch's instant, in the zone in which dates are to be read."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A batch in the shape that connectors take: shared parts with tags, and a column of texts for each tag."""

    subject: str
    html: str
    text: str
    values: Mapping[str, list[str]]
    """Tag → its text for each person, escaped for where the tag stands and spelt as was asked for; '' for people who get
    nothing."""
    cids: list[str]
    headers: Mapping[str, list[str]] = field(default_factory=dict)
    """Header → its value for each person."""
    shared_headers: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[int, str] = field(default_factory=dict)
    """Row → why the template withheld it (`template_skip`)."""
    failed: Mapping[int, str] = field(default_factory=dict)
    """Row → why it could not be rendered (`render_failed`)."""
    shape: str = ""


def render(content: Content, people: Columns, occasion: Occasion, spelling: Spelling = "plain") -> Rendered:
    """The batch, each dynamic part rendered once for every distinct tuple of the values that it names."""
    if len(occasion.enrolments) != len(people):
        raise ValueError(f"{len(people)} people, but {len(occasion.enrolments)} enrolments")
    renderer = _renderer(content, occasion.keyring, spelling)
    with renderer.alone:
        return renderer.batch(people, occasion)


@dataclass(frozen=True, slots=True)
class Message:
    """What one person gets."""

    subject: str
    html: str
    text: str


def render_one(content: Content, values: Mapping[str, Any], occasion: Occasion) -> Message | Refusal:
    """One person's message by plain Liquid, path by path: for previews, and what `render` must agree with."""
    renderer = _renderer(content, occasion.keyring, "plain")
    tokens = {
        letter: occasion.keyring.make(kind, occasion.node, occasion.enrolments[0]) for letter, kind in TAGGED.items()
    }
    tags = {token_tag(content.salt, letter): [token] for letter, token in tokens.items()}
    found = []
    with renderer.alone:
        for cutter in renderer.cutters(occasion.now):
            text = rendered(cutter.template.nodes, cutter.context({p: values.get(p) for p in content.paths}), 0)
            if isinstance(text, Refusal):
                return text
            found.append(fill(text, tags, 0))
    return Message(found[0].translate(_LINE_BREAKS), found[1], found[2])


def fill(shared: str, values: Mapping[str, Sequence[str]], row: int) -> str:
    """The shared text with one person's values; what a value itself says is never substituted again."""
    if not values:
        return shared
    return _tags_pattern(tuple(values)).sub(lambda found: values[found.group()][row], shared)


@lru_cache(maxsize=256)
def _tags_pattern(tags: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, tags)))


@lru_cache(maxsize=64)
def _renderer(content: Content, keyring: Keyring, spelling: Spelling) -> _Renderer:
    return _Renderer(content, keyring, SPELLINGS[spelling])


class _Renderer:
    """One content and keyring, parsed and cut; remembers texts from batch to batch.

    All who render the content in this process share it, one after the other: its memory and its `now` are one.
    """

    def __init__(self, content: Content, keyring: Keyring, spell: Spell) -> None:
        self.content, self.alone = content, Lock()
        letter = "c" if content.channel is Channel.EMAIL else "s"
        prefix = f"{content.public_url}/{letter}/{token_tag(content.salt, letter)}/"
        self.constants: dict[str, Any] = {**content.constants, CARRY: carrier(prefix, content.utm, keyring), NOW: None}
        sources: list[tuple[Dialect, str, Spell]] = [
            (plain_dialect(), content.subject, lambda text: spell(_in_one_line(text))),
            (html_dialect(), content.html, spell),
            (plain_dialect(), content.text, spell),
        ]
        self._cutters = [Cutter(parse(dialect, source), self.constants, its) for dialect, source, its in sources]
        self.parts = [cutter.cut() for cutter in self._cutters]
        cells = [part for parts in self.parts for part in parts if isinstance(part, Cell)]
        self.tags = {id(cell): f"-{content.salt}{n}-" for n, cell in enumerate({id(c): c for c in cells}.values())}
        self.asks_now = any(
            word in source for _, source, _ in sources for word in ('"now"', "'now'", '"today"', "'today'")
        )
        self.letters = [
            letter for letter in TAGGED if any(token_tag(content.salt, letter) in part for part in self._fixed())
        ]

    def _fixed(self) -> list[str]:
        """Every text in which a token's tag may stand."""
        fixed = [self.content.subject, self.content.html, self.content.text]
        named = self.content.constants.get("links", {})
        fixed += [address for name, address in named.items() if any(f"links.{name}" in text for text in fixed[:3])]
        carried = f"-{self.content.salt}{'c' if self.content.channel is Channel.EMAIL else 's'}-"
        return [*fixed, carried] if any(link.carried for link in self.content.links) else fixed

    def cutters(self, now: datetime) -> list[Cutter]:
        """The three parts, with `now` set."""
        if self.asks_now and self.constants[NOW] != now:
            for cell in (part for parts in self.parts for part in parts if isinstance(part, Cell)):
                cell.forget()
        self.constants[NOW] = now
        return self._cutters

    def batch(self, people: Columns, occasion: Occasion) -> Rendered:
        self.cutters(occasion.now)
        kinds = {TokenKind.MESSAGE, *(TAGGED[letter] for letter in self.letters)}
        if self.content.is_marketing and self.content.channel is Channel.EMAIL:
            kinds.add(TokenKind.UNSUBSCRIBE)
        made = occasion.keyring.make_all(kinds, occasion.node, occasion.enrolments)
        tokens = {token_tag(self.content.salt, letter): made[TAGGED[letter]] for letter in self.letters}
        batch = _Batch(Columns(len(people), people.values, tokens), dict(tokens))
        subject, html, text = (batch.shared(parts, self.tags, at == 0) for at, parts in enumerate(self.parts))
        headers, shared_headers = self._unsubscribe_headers(made)
        batch.finish(subject + html + text)
        return Rendered(
            subject, html, text, batch.values, made[TokenKind.MESSAGE], headers, shared_headers,
            {row: r.reason for row, r in batch.refused.items() if r.is_skip},
            {row: r.reason for row, r in batch.refused.items() if not r.is_skip},
        )  # fmt: skip

    def _unsubscribe_headers(self, made: Mapping[TokenKind, list[str]]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """RFC 8058 §3: the address differs for each person, the second header is the same for all."""
        tokens = made.get(TokenKind.UNSUBSCRIBE)
        if tokens is None or not self.content.is_marketing or self.content.channel is not Channel.EMAIL:
            return {}, {}
        addresses = [f"<{self.content.public_url}/u/{token}>" for token in tokens]
        return {"List-Unsubscribe": addresses}, {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


@dataclass(slots=True)
class _Batch:
    """One batch on its way: columns so far, and who gets nothing."""

    people: Columns
    values: dict[str, list[str]]
    tag_of: dict[str, str] = field(default_factory=dict)
    """Tag of a cell → the tag of the column that says its texts."""
    refused: dict[int, Refusal] = field(default_factory=dict)

    def shared(self, parts: Sequence[str | Cell], tags: Mapping[int, str], one_line: bool) -> str:
        """The part as all share it; its cells' texts go into `values`."""
        found = list[str]()
        for part in parts:
            if isinstance(part, str):
                found.append(part)
            elif isinstance(part, TupleCell) and not part.columns:
                found.append(self._same_for_all(part))
            else:
                tag = tags[id(part)]
                if tag not in self.tag_of:
                    self.tag_of[tag] = self._added(tag, self._column(part.texts(self.people)))
                found.append(self.tag_of[tag])
        text = "".join(found)
        return _in_one_line(text) if one_line else text

    def _added(self, tag: str, column: list[str]) -> str:
        """The tag that the column goes by: a name reads the same in subject, HTML and text, mostly."""
        twin = next((other for other in self.tag_of.values() if self.values[other] == column), None)
        if twin is not None:
            return twin
        self.values[tag] = column
        return tag

    def _same_for_all(self, cell: TupleCell) -> str:
        text = cell.for_all()
        if isinstance(text, Refusal):
            for row in range(len(self.people)):
                self.refused.setdefault(row, text)
            return ""
        return text

    def _column(self, texts: list[Text]) -> list[str]:
        if Refusal in set(map(type, texts)):
            for row, text in enumerate(texts):
                if isinstance(text, Refusal):
                    self.refused.setdefault(row, text)
                    texts[row] = ""
        return texts  # type: ignore[return-value]

    def finish(self, shared: str) -> None:
        """Only tags that stand in the shared parts stay, and nobody who gets nothing has a text."""
        for tag in [tag for tag in self.people.tokens if tag not in shared]:
            del self.values[tag]
        for tag in self.values.keys() - self.people.tokens.keys():
            for row in self.refused:
                self.values[tag][row] = ""
