"""Texts of things, strung together by a person's token.

What stands before the first link of an item is mostly the same in all: the items of a list are then that head and the
token between what follows, one join. To look for a tag in a kilobyte and to replace it takes three times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """Instead of a text: the message is skipped for a reason, or could not be rendered."""

    reason: str
    is_skip: bool = False


Text = str | Refusal
Texts = Sequence[Text]
Tokens = Mapping[str, Sequence[str]]
"""Tag → what stands for it in each person's texts."""


def tags_in(text: Text, tags: Iterable[str]) -> list[str]:
    """Those of the tags that stand in the text."""
    return [tag for tag in tags if tag in text] if isinstance(text, str) else []


def filled(texts: list[Text], tags: Iterable[str], tokens: Tokens, rows: Sequence[int] | None) -> list[Text]:
    """The texts with tokens where these tags stand: providers do not substitute twice."""
    for tag in tags:
        own = _of_rows(tokens[tag], rows)
        texts = [t.replace(tag, token) if isinstance(t, str) else t for t, token in zip(texts, own, strict=True)]
    return texts


def _of_rows(column: Sequence[str], rows: Sequence[int] | None) -> Sequence[str]:
    return column if rows is None else [column[row] for row in rows]


class _NotAlikeError(Exception):
    """A text that does not begin as the others do."""


@dataclass(slots=True)
class Strings:
    """Remembers the text of each thing, and says what those of a list make together."""

    _memory: dict[str, Any] = field(default_factory=dict)
    """Thing → its text or refusal. Where texts are strung: what stands behind the head, or where tags stand in that, the
    pieces between them, with the next head at the end."""
    _tag: str | None = None
    """What strings the texts; "": nothing does, so they are put one behind the other; None: not known yet."""
    _head: str = ""
    _is_single: bool = True
    """Whether each text has the tag once."""
    _others: set[str] = field(default_factory=set)
    """Further tags in the texts."""

    def __len__(self) -> int:
        return len(self._memory)

    def texts(
        self, lists: Sequence[Sequence[str]], tokens: Tokens, rows: Sequence[int] | None, make: Callable[[str], Text]
    ) -> list[Text]:
        """The text of each list, one a row; what is not remembered is made once."""
        try:
            return self._joined(lists, tokens, rows)
        except KeyError:
            self._learn(set(chain.from_iterable(lists)), tokens, make)
            return self._joined(lists, tokens, rows)

    def _learn(self, things: set[str], tokens: Tokens, make: Callable[[str], Text]) -> None:
        try:
            for thing in things.difference(self._memory):
                self._memory[thing] = self._cut(make(thing), tokens)
        except _NotAlikeError:
            self._tag = ""
            self._memory = {thing: self._cut(make(thing), tokens) for thing in things}

    def _cut(self, text: Text, tokens: Tokens) -> Any:
        if isinstance(text, Refusal):
            return text
        found = tags_in(text, tokens)
        if self._tag is None:
            self._tag = found[0] if found else ""
            self._head = text.partition(found[0])[0] if found else ""
        self._others.update(set(found) - {self._tag})
        if not self._tag:
            return text
        head, *pieces = text.split(self._tag)
        if head != self._head or not pieces:
            raise _NotAlikeError
        if len(pieces) > 1 and self._is_single:
            self._is_single = False
            self._memory = {thing: its if _is_refusal(its) else (its + head,) for thing, its in self._memory.items()}
        return pieces[0] if self._is_single else (*pieces[:-1], pieces[-1] + head)

    def _joined(self, lists: Sequence[Sequence[str]], tokens: Tokens, rows: Sequence[int] | None) -> list[Text]:
        try:
            texts: list[Text] = [*(self._strung(lists, tokens, rows) if self._tag else self._in_a_row(lists))]
        except TypeError:  # a thing that refuses the message
            return self._some_refused(lists, tokens, rows)
        return filled(texts, self._others, tokens, rows)

    def _in_a_row(self, lists: Sequence[Sequence[str]]) -> list[str]:
        text_of = self._memory.__getitem__
        return ["".join(map(text_of, things)) for things in lists]

    def _strung(self, lists: Sequence[Sequence[str]], tokens: Tokens, rows: Sequence[int] | None) -> list[str]:
        its_of, flat, head, end = self._memory.__getitem__, chain.from_iterable, self._head, -len(self._head) or None
        both = zip(lists, _of_rows(tokens[self._tag or ""], rows), strict=True)
        if self._is_single:
            return [(head + token).join(["", *map(its_of, things)]) for things, token in both]
        return [token.join([head, *flat(map(its_of, things))])[:end] for things, token in both]

    def _some_refused(self, lists: Sequence[Sequence[str]], tokens: Tokens, rows: Sequence[int] | None) -> list[Text]:
        found: list[Any] = [next(filter(_is_refusal, map(self._memory.get, things)), None) for things in lists]
        good = [at for at, refusal in enumerate(found) if refusal is None]
        place = good if rows is None else [rows[at] for at in good]
        for at, text in zip(good, self._joined([lists[at] for at in good], tokens, place), strict=True):
            found[at] = text
        return found


def _is_refusal(text: object) -> bool:
    return isinstance(text, Refusal)
