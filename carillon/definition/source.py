"""A YAML file as text with places: every key and value keeps where it stands, and nothing is guessed about its type.

Built from the parser's events rather than its documents: the C parser recurses when it composes and dies on deep
nesting, and an alias would be expanded without bound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from carillon.definition.encoding import decode, invisible, place
from carillon.definition.nodes import Map, Node, Seq, Text, text_like
from carillon.definition.syntax import explained
from carillon.kernel.problems import Position, Problem, Severity

MOST_BYTES = 1_000_000
DEEPEST = 50
MOST_NODES = 100_000


@dataclass(slots=True)
class Source:
    """A file as read: its text, its tree (None where it could not be parsed) and what is wrong with it as YAML."""

    file: str
    text: str
    root: Node | None
    problems: list[Problem]


def read_source(raw: bytes, file: str, *, words: bool = False) -> Source:
    """Parse one file; never raises for what stands in it. `words`: a message file, where any ` #` may be text."""
    source = Source(file, "", None, [])
    if len(raw) > MOST_BYTES:
        source.problems.append(
            Problem(Position(file), "YAML101", f"the file is larger than {MOST_BYTES // 1_000_000} MB")
        )
        return source
    decoded = decode(raw, file)
    source.text = decoded.text
    source.problems.extend(decoded.problems)
    unseen = invisible(decoded.text, file) if decoded.is_sound else None
    if unseen is not None:
        source.problems.append(unseen)
    elif decoded.is_sound:
        source.root = _Builder(source, words).build()
    return source


BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""Where YAML 1.1 begins a new line (§5.4); the parser counts them so."""


class _Refused(Exception):
    """The rest of the file is not worth reading; the problem is already noted."""


_CURLY = re.compile("[“”„‟‘’‚].*[“”‟‘’]", re.S)
_LOST_WORD = re.compile(r" (#\S.*)")
_LOST_TEXT = re.compile(r" (#.*)")


class _Builder:
    """Turns the events of one file into a tree."""

    def __init__(self, source: Source, words: bool) -> None:
        self.source = source
        self.lines = BREAK.split(source.text)
        self.lost = _LOST_TEXT if words else _LOST_WORD
        self.anchors: dict[str, Node] = {}
        self.open_anchors: set[str] = set()
        self.nodes = 0

    def build(self) -> Node | None:
        try:
            self.events = yaml.parse(self.source.text, Loader=yaml.CSafeLoader)
            return self._document()
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except yaml.YAMLError as error:
            self._note(Position(self.source.file), "YAML110", f"this is not YAML: {error}")
        except _Refused:
            pass
        return None

    def _document(self) -> Node | None:
        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._refused(
                        self._at(event), "YAML105", 'a second document begins here ("---"): one file holds one'
                    )
                root = self._node(next(self.events), 1)
                root.parent = root.key = None
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self._refused(self._at(event), "YAML106", f"more than {MOST_NODES:,} values stand in this file")
        if depth > DEEPEST:
            raise self._refused(self._at(event), "YAML106", f"nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.open_anchors.add(anchor)
        node = self._fresh(event, depth)
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = node
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._note(
                self._at(event),
                "YAML107",
                f'the tag "{tag}" is not needed: fields decide what a text means',
                suggestion="leave the tag out",
            )
        return node

    def _fresh(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            seq = Seq()
            seq.at, seq.key, seq.taken = self._at(event), None, []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                child = self._node(inner, depth + 1)
                child.parent, child.key = seq, None
                seq.append(child)
            seq.at = self._closed(seq.at, inner)
            return seq
        assert isinstance(event, yaml.ScalarEvent)  # the grammar knows no other event here
        return self._scalar(event)

    def _mapping(self, event: yaml.MappingStartEvent, depth: int) -> Map:
        found = Map()
        found.at, found.key, found.taken = self._at(event), None, []
        before: Text | None = None
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            child = self._node(next(self.events), depth + 1)
            if not isinstance(key, Text):
                self._not_a_key(key)
                continue
            if event.flow_style and self._ended_by_comma(key, child):
                self._comma(key, before)
                continue
            before = key
            if self._is_new(key, found):
                child.parent, child.key = found, key
                key.parent = found
                found[key] = child
        found.at = self._closed(found.at, inner)
        return found

    def _is_new(self, key: Text, found: Map) -> bool:
        if key == "<<":
            reason = "what a campaign means must stand where it is read"
            self._note(key.at, "YAML109", f'"<<" merges are refused: {reason}', suggestion="write the keys out")
            return False
        if key not in found:
            return True
        first = found.key_at(key)
        self._note(
            key.at,
            "YAML111",
            f'the key "{key}" stands twice; first on line {first.line}',
            suggestion="keep one of them",
        )
        return False

    def _ended_by_comma(self, key: Text, child: Node) -> bool:
        """`{subject: a, b}` gives a key "b" without a colon."""
        if not isinstance(child, Text) or not child.absent:
            return False
        line = self.lines[key.at.end_line - 1] if key.at.end_line <= len(self.lines) else ""
        return ":" not in line[key.at.end_column - 1 : key.at.end_column + 1]

    def _comma(self, key: Text, before: Text | None) -> None:
        if before is None and "{{" in self.lines[key.at.line - 1][: key.at.column]:
            raise self._liquid(key.at)
        if before is None:
            self._note(key.at, "YAML112", f'"{key}" has no value', expected=f"{key}: VALUE")
            return
        self._note(
            key.at,
            "YAML112",
            f'the comma ended the {before}: put it in quotes, or "{key}" stands for nothing',
            suggestion=f'{before}: "…, {key}"',
        )

    def _scalar(self, event: yaml.ScalarEvent) -> Text:
        text = Text(event.value)
        text.at = self._at(event)
        text.parent = text.key = None
        text.plain = not event.style
        text.absent = text.plain and event.value == ""
        if text.plain and text:
            self._plain_traps(text)
        return text

    def _plain_traps(self, text: Text) -> None:
        rest = self.lines[text.at.end_line - 1][text.at.end_column - 1 :] if text.at.end_line <= len(self.lines) else ""
        lost = self.lost.match(rest)
        if lost is not None:
            start = text.at.end_column + 1
            at = Position(self.source.file, text.at.end_line, start, text.at.end_line, start + len(lost[1].rstrip()))
            self._note(
                at,
                "YAML113",
                f'everything after " #" is lost: the value is "{_short(text)}"',
                suggestion="put the whole text in quotes, or two blanks before a comment",
                severity="warning",
            )
        if _CURLY.fullmatch(text):
            self._note(
                text.at,
                "YAML114",
                "curly quotes do not quote: they become part of the text",
                suggestion='use straight quotes (") or none',
                severity="warning",
            )

    def _alias(self, event: yaml.AliasEvent) -> Node:
        if event.anchor in self.open_anchors:
            raise self._refused(self._at(event), "YAML115", f'the alias "*{event.anchor}" stands inside its own anchor')
        anchored = self.anchors.get(event.anchor or "")
        if anchored is None:
            raise self._refused(self._at(event), "YAML115", f'no anchor "&{event.anchor}" stands above')
        self.nodes -= 1
        copy = self._copied(anchored, self._at(event))
        if isinstance(copy, Text):
            copy.at = self._at(event)
        return copy

    def _copied(self, node: Node, alias: Position) -> Node:
        """A copy of what the anchor names: each value has one place that holds it, so that it can be taken out."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self._refused(alias, "YAML106", f"aliases make more than {MOST_NODES:,} values of this file")
        copy: Node
        match node:
            case Map():
                copy = Map()
                copy.taken = []
                for key, child in node.items():
                    word, inner = text_like(key), self._copied(child, alias)
                    word.parent, inner.parent, inner.key = copy, copy, word
                    copy[word] = inner
            case Seq():
                copy = Seq()
                copy.taken = []
                for child in node:
                    inner = self._copied(child, alias)
                    inner.parent, inner.key = copy, None
                    copy.append(inner)
            case Text():
                copy = text_like(node)
        copy.at, copy.key = node.at, None
        return copy

    # ------------------------------------------------------------ places and notes

    def _at(self, event: yaml.Event) -> Position:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None  # only hand-made events have none
        return Position(self.source.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _closed(self, at: Position, event: yaml.Event) -> Position:
        """The place of a collection up to its end; a block ends where the next thing begins, so it keeps its first line."""
        end = event.end_mark
        assert end is not None  # only hand-made events have none
        if end.line + 1 == at.line:
            return Position(at.file, at.line, at.column, at.line, end.column + 1)
        width = len(self.lines[at.line - 1].rstrip()) if at.line <= len(self.lines) else at.column
        return Position(at.file, at.line, at.column, at.line, max(at.column, width) + 1)

    def _note(
        self,
        at: Position,
        code: str,
        message: str,
        *,
        expected: str = "",
        suggestion: str = "",
        severity: Severity = "error",
    ) -> None:
        self.source.problems.append(Problem(at, code, message, expected, suggestion, severity))

    def _refused(self, at: Position, code: str, message: str) -> _Refused:
        self._note(at, code, message)
        return _Refused()

    def _liquid(self, at: Position) -> _Refused:
        line = self.lines[at.line - 1]
        start = line.rfind("{{", 0, at.column + 1) + 1
        whole = Position(at.file, at.line, start, at.line, max(start + 2, line.find("}}", start) + 3))
        self._note(whole, "YAML116", 'text that begins with "{{" needs quotes', suggestion="quote the whole text")
        return _Refused()

    def _not_a_key(self, key: Node) -> None:
        if isinstance(key, Map) and self.lines[key.at.line - 1].startswith("{", key.at.column - 2):
            raise self._liquid(key.at)
        self._note(key.at, "YAML108", "a key is a word, not a list or a mapping", suggestion="write a word")

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        if line > len(self.lines):
            line, column = len(self.lines), len(self.lines[-1]) + 1
        message, suggestion = explained(str(error.problem or "this is not YAML"), self.lines[line - 1], column)
        if message == "a quote or bracket is not closed" and error.context_mark is not None:
            line, column = error.context_mark.line + 1, error.context_mark.column + 1
        self._note(place(self.source.file, line, column), "YAML110", message, suggestion=suggestion)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
