"""The files of one campaign's `messages/`: which belongs to which message and language, and which to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from carillon.definition.encoding import decode
from carillon.definition.model import MessageSource, MessageWords, SourceText
from carillon.definition.nodes import Text
from carillon.definition.scalars import Reading
from carillon.definition.source import read_source
from carillon.definition.words import read
from carillon.definition.workspace_words import MessageWordsFile, VariantWords
from carillon.kernel.problems import Position

_FILE = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*)(?P<sms>\.sms)?(?:\.(?P<language>[a-z]{2,3}(?:-[A-Z]{2})?))?\.(?P<ending>yaml|mjml|html|txt)"
)


@dataclass(slots=True)
class _Parts:
    words: dict[str, MessageWords] = field(default_factory=dict)
    mjml: dict[str, SourceText] = field(default_factory=dict)
    html: dict[str, SourceText] = field(default_factory=dict)
    txt: dict[str, SourceText] = field(default_factory=dict)
    sms: dict[str, SourceText] = field(default_factory=dict)


def read_messages(files: Mapping[str, bytes], languages: Iterable[str], reading: Reading) -> dict[str, MessageSource]:
    """Messages by name from path → content; `languages` begins with the default one."""
    known = list(languages)
    found: dict[str, _Parts] = {}
    for path in sorted(files):
        named = _FILE.fullmatch(path.rpartition("/")[2])
        language = (named["language"] or known[0]) if named is not None else ""
        if named is None or language not in known:
            _nothing_reads(path, language, known, reading)
            continue
        parts = found.setdefault(named["name"], _Parts())
        kind = "sms" if named["sms"] else named["ending"]
        if kind == "yaml":
            parts.words[language] = _words(path, files[path], reading)
        else:
            text = _text(path, files[path], reading)
            {"sms": parts.sms, "mjml": parts.mjml, "html": parts.html, "txt": parts.txt}[kind][language] = text
    return {name: MessageSource(name, p.words, p.mjml, p.html, p.txt, p.sms) for name, p in found.items()}


def _nothing_reads(path: str, language: str, known: list[str], reading: Reading) -> None:
    why = f'"{language}" is none of the languages in workspace.yaml' if language else "its name fits to no message"
    expected = (
        f"one of {', '.join(known)}" if language else "NAME.yaml, .mjml, .html, .txt or .sms.txt, NAME.LANGUAGE.…"
    )
    reading.note(Position(path), 10, f"nothing reads this file: {why}", expected, warning=True)


def _text(path: str, raw: bytes, reading: Reading) -> SourceText:
    decoded = decode(raw, path)
    reading.problems.extend(decoded.problems)
    return SourceText(path, decoded.text)


def _words(path: str, raw: bytes, reading: Reading) -> MessageWords:
    source = read_source(raw, path, words=True)
    reading.problems.extend(source.problems)
    if source.root is None:
        return MessageWords(path=path)
    words, _ = read(MessageWordsFile, source.root, reading)
    if words is None:
        return MessageWords(path=path)
    variants = {str(name): _own(variant, path) for name, variant in (words.variants or {}).items()}
    own = _own(words, path)
    return MessageWords(own.subject, own.preheader, own.texts, variants, path)


def _own(words: VariantWords, path: str) -> MessageWords:
    texts = {str(name): str(text) for name, text in (words.texts or {}).items()}
    return MessageWords(_plain(words.subject), _plain(words.preheader), texts, {}, path)


def _plain(text: Text | None) -> str | None:
    return None if text is None else str(text)
